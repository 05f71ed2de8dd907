"""Files and tables: the score store, the publication of labels, and the lock of a run date."""
