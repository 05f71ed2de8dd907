"""Whether a run is good enough to publish: counts, drift, gates."""
