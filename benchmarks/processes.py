"""CPU time and memory of a program and all its children, by kind of process."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import psutil

DRIVER, JVM, WORKERS, SERVERS = "driver (Python)", "Spark (JVM)", "Python workers", "servers"
GROUPS = (DRIVER, JVM, WORKERS, SERVERS)
_MB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One sample: seconds since the start, CPU seconds and resident MB by group."""

    at: float
    cpu: dict[str, float]
    rss: dict[str, float]


class ProcessTree:
    """Samples a process tree on a thread until the block ends; CPU time of ended processes is kept."""

    def __init__(self, root: int, every_seconds: float = 0.25) -> None:
        self._root = psutil.Process(root)
        self._every_seconds = every_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._groups: dict[psutil.Process, str] = {}
        self._cpu: dict[psutil.Process, float] = {}
        self._started = time.monotonic()
        self.samples: list[Sample] = []

    def __enter__(self) -> ProcessTree:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def between(self, start: float, end: float) -> dict[str, float]:
        """Return the CPU seconds by group between two moments."""
        first = max((one for one in self.samples if one.at <= start), key=lambda one: one.at, default=None)
        last = max((one for one in self.samples if one.at <= end), key=lambda one: one.at)
        return {group: last.cpu.get(group, 0.0) - (first.cpu.get(group, 0.0) if first else 0.0) for group in GROUPS}

    def _watch(self) -> None:
        while not self._ended.wait(self._every_seconds):
            self.sample()

    def sample(self) -> None:
        """Take one sample."""
        rss: defaultdict[str, float] = defaultdict(float)
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in tree:
            try:
                times, memory = process.cpu_times(), process.memory_info().rss
                # A child has its parent's name until it runs its own program.
                if process not in self._groups or self._groups[process] == DRIVER:
                    self._groups[process] = _group(process, self._root)
            except psutil.NoSuchProcess:
                continue
            self._cpu[process] = times.user + times.system
            rss[self._groups[process]] += memory / _MB
        cpu: defaultdict[str, float] = defaultdict(float)
        for process, seconds in self._cpu.items():
            cpu[self._groups[process]] += seconds
        self.samples.append(Sample(self.now(), dict(cpu), dict(rss)))


def _group(process: psutil.Process, root: psutil.Process) -> str:
    if process == root:
        return DRIVER
    words = process.cmdline()
    if "grpc_server" in words:
        return SERVERS
    if "spark_jobs.lifecycle.worker_daemon" in words:
        return WORKERS
    return JVM if words and words[0].endswith("java") else DRIVER
