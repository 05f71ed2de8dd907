"""The teacher: an ensemble of cross-encoders and trees."""
