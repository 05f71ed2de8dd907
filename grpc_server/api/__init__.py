"""The services: one module per protocol, and one for its messages."""
