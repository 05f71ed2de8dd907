"""Before and around a call: admission, limits, credentials, statuses."""
