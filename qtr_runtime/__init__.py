"""Shared by all programs: settings, logs, CPU and memory limits, and the processes that they start."""
