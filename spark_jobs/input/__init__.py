"""Reading the input: each format is checked before the run, so that nothing is altered or lost in silence."""
