"""The `qtr` command, and the little that every program behind it shares."""
