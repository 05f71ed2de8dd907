"""The relevance service: a scorer behind gRPC, with batching, admission control and a life cycle."""
