"""The student: its network, vocabulary, training data and training."""
