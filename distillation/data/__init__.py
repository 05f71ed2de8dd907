"""Judgements, texts and pairs: read, split, augmented, and kept apart from what is measured."""
