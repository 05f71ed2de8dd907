"""What surrounds a call: admission control, limits, credentials, statuses."""
