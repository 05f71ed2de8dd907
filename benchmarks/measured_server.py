"""A server to measure: `qtr serve`, or any other program that says where it listens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from urllib.request import urlopen

import psutil


@dataclass
class Server:
    """A running server and all its processes; what it costs is theirs together."""

    address: str
    metrics_address: str
    process: psutil.Process
    startup: float

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def rss_mb(self) -> float:
        """Return the resident memory."""
        return float(sum(p.memory_info().rss for p in (self.process, *self.process.children(recursive=True)))) / 1e6

    def answered(self, method: str) -> int:
        """Return how many calls of `method` it has answered with OK, by its own count."""
        with urlopen(f"http://{self.metrics_address}/metrics") as page:
            text = page.read().decode()
        series = rf'^grpc_server_handled_total{{grpc_code="OK",grpc_method="{method}",.*}} (\S+)$'
        return sum(int(float(value)) for value in re.findall(series, text, re.MULTILINE))


@contextmanager
def server(*flags: str, port: int = 0) -> Iterator[Server]:
    """Run `qtr serve`, on a free port if none is given, until the block ends; then drain it."""
    command = [sys.executable, "-m", "grpc_server", "--port", str(port), "--metrics-port", "0", "--log-format", "json"]
    started = perf_counter()
    with subprocess.Popen(
        [*command, "--exit-on-stdin-close", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["msg"] == "serving":
                break
        else:
            raise SystemExit(f"the server did not start: {event}")
        startup = perf_counter() - started
        drain = threading.Thread(target=lambda: [None for _ in process.stdout or ()])
        drain.start()
        try:
            yield Server(event["address"], event["metrics_address"], psutil.Process(process.pid), startup)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            drain.join()
