"""The same model behind other servers; :mod:`benchmarks.other_servers` starts and measures them."""
