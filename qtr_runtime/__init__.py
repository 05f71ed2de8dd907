"""What every program shares: settings, logs, CPU and memory limits, parent process, servers started as processes."""
