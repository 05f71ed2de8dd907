"""Scoring of a DataFrame or an RDD of pairs by calls to the service."""
