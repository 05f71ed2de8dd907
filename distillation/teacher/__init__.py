"""The teacher: cross-encoders and trees, and their mean."""
