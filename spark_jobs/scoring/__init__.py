"""From a DataFrame or an RDD of pairs to scored rows, by calls to the service."""
