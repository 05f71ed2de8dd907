"""Scoring across requests: queue, batches, caches and models; no transport."""
