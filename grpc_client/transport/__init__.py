"""Channels, their pool, credentials, and addresses found in Kubernetes."""
