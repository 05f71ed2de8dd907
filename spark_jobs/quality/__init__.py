"""Quality of a run's labels: counts, drift against the last published run, quality gates."""
