"""The input: files looked at before the run, read by format, nothing altered or lost in silence."""
