"""Where scores and labels are kept: score store, publication, and the lock of a run date."""
