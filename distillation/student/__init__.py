"""The student: network, vocabulary, training data and training."""
