"""The relevance service: batching, admission and lifecycle around a scorer, behind gRPC."""
