"""Judgements, texts and pairs: readers, folds, augmentation, and the guard against leakage."""
