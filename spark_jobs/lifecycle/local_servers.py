"""Embedded servers: started on this machine for one run, watched while it lasts, stopped with it.

Each is a `qtr_runtime.server_process` on a free port of the loopback address, with one thread for the model: that
outruns one process with many threads.
"""

from __future__ import annotations

import time
from pathlib import Path

from qtr_runtime.resources import available_memory
from qtr_runtime.server_process import ServerEndedError, ServerProcess
from spark_jobs.errors import JobError, ServerLostError, SetupError

# Pairs come sorted by title, so the cache of titles may be small, while queries recur. Measured with 20 million rows
# and 740,000 queries: a cache for 11,000 queries hits 14 % (80 us a pair), for 183,000 56 % (53 us), for 366,000 77 %
# (43 us), for all of them 37 us a pair.
TITLE_CACHE_SHARE = 0.1
_SHARE_OF_MEMORY = 1 / 8
_LEAST_CACHE_BYTES = 64 << 20
_MOST_CACHE_BYTES = 2 << 30


def cache_bytes(servers: int) -> int:
    """Return the bytes that the cache of each of `servers` servers may take; it takes them as it fills."""
    share = int(available_memory() * _SHARE_OF_MEMORY) // max(1, servers)
    return min(_MOST_CACHE_BYTES, max(_LEAST_CACHE_BYTES, share))


class LocalServers:
    """Server processes behind one gRPC target; they start at once.

    Parameters
    ----------
    count
        Number of processes.
    bundle
        Folder of the model bundle; `None` for the bundled student.
    start_timeout_seconds
        Seconds that all of them together may take until they serve.
    stop_timeout_seconds
        Seconds that they have to finish after SIGTERM, before they are killed.
    """

    def __init__(
        self,
        count: int,
        bundle: Path | None = None,
        *,
        start_timeout_seconds: float = 60.0,
        stop_timeout_seconds: float = 10.0,
    ) -> None:
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        flags = ["--host", "127.0.0.1", "--metrics-port", "0", "--threads", "1"]
        flags += ["--cache-bytes", str(cache_bytes(count)), "--title-cache-share", str(TITLE_CACHE_SHARE)]
        if bundle is not None:
            flags += ["--bundle", str(bundle)]
        self._servers: list[ServerProcess] = []
        try:
            for _ in range(count):
                self._servers.append(ServerProcess(*flags))
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> LocalServers:
        """Return the servers; they are starting."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.stop()

    def target(self) -> str:
        """Return the gRPC target that names all of them, once they serve.

        Raises
        ------
        ServerLostError
            If one ends early or takes too long.
        SetupError
            If one refuses its settings, such as the bundle.
        """
        until = time.monotonic() + self._start_timeout_seconds
        return "ipv4:" + ",".join(self._address(server, until) for server in self._servers)

    def _address(self, server: ServerProcess, until: float) -> str:
        try:
            return str(server.wait_until_serving(max(0.0, until - time.monotonic()))["address"])
        except TimeoutError:
            limit = f"{self._start_timeout_seconds:g} s"
            raise ServerLostError(f"embedded server {server.process.pid} was not serving within {limit}") from None
        except ServerEndedError as end:
            raise _to_job_error(end) from None

    def failure(self) -> JobError | None:
        """Return the error of a server that has ended without being asked to, or None."""
        ends = (server.untimely_end() for server in self._servers)
        return next((_to_job_error(end) for end in ends if end is not None), None)

    def stop(self) -> None:
        """Ask them to stop, wait, and kill those that do not."""
        for server in self._servers:
            server.ask_to_stop()
        until = time.monotonic() + self._stop_timeout_seconds
        for server in self._servers:
            server.stop(max(0.0, until - time.monotonic()))


def _to_job_error(end: ServerEndedError) -> JobError:
    return SetupError(f"embedded {end}") if end.refused else ServerLostError(f"embedded {end}")
