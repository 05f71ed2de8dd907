"""The same model behind other servers; `benchmarks.other_servers` starts and measures them."""
