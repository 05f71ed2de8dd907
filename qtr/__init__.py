"""The `qtr` command, and its programs `score`, `tune` and `plan`."""
