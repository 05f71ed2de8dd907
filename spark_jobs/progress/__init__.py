"""Progress and throughput of a run."""
