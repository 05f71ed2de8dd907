"""Measures a model on pairs that people judged: which pairs to judge, how good it is, and its calibration."""
