"""A `qtr serve` process to measure: its CPU time, memory and answered calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from urllib.request import urlopen

import psutil

from qtr_runtime.server_process import ServerEndedError, ServerProcess


@dataclass
class Server:
    """A running server; its cost is that of its process and all its children."""

    address: str
    metrics_address: str
    process: psutil.Process
    startup_seconds: float

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def rss_mb(self) -> float:
        """Return the resident memory in MB (10^6 bytes)."""
        return float(sum(p.memory_info().rss for p in (self.process, *self.process.children(recursive=True)))) / 1e6

    def answered(self, method: str) -> int:
        """Return the calls of `method` that ended with OK, by the server's own metrics."""
        with urlopen(f"http://{self.metrics_address}/metrics") as page:
            text = page.read().decode()
        series = rf'^grpc_server_handled_total{{grpc_code="OK",grpc_method="{method}",.*}} (\S+)$'
        return sum(int(float(value)) for value in re.findall(series, text, re.MULTILINE))


@contextmanager
def server(*flags: str) -> Iterator[Server]:
    """Run `qtr serve` until the block ends, on a free port unless `flags` name one; then drain it."""
    started = perf_counter()
    with ServerProcess("--metrics-port", "0", *flags) as running:
        try:
            serving = running.wait_until_serving()
        except ServerEndedError as error:
            raise SystemExit(str(error)) from None
        startup_seconds = perf_counter() - started
        process = psutil.Process(running.process.pid)
        yield Server(serving["address"], serving["metrics_address"], process, startup_seconds)
