"""Health checks as the kubelet makes them: on a connection of their own, with a time limit, again and again."""

from __future__ import annotations

import http.client
import threading
from collections import defaultdict

PATHS = ("/readyz", "/livez")


class Probes:
    """Checks readiness and liveness on a thread until it is left.

    Attributes
    ----------
    checks
        How many were made.
    longest
        The most failures in a row, by path: with as many as the manifest's `failureThreshold` the kubelet acts.
    """

    def __init__(self, address: str, *, period_seconds: float, timeout_seconds: float) -> None:
        self._address = address
        self._period_seconds = period_seconds
        self._timeout_seconds = timeout_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.checks = 0
        self.longest: defaultdict[str, int] = defaultdict(int)

    def __enter__(self) -> Probes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        failures: defaultdict[str, int] = defaultdict(int)
        while not self._done.wait(self._period_seconds):
            for path in PATHS:
                failures[path] = 0 if self._answers(path) else failures[path] + 1
                self.longest[path] = max(self.longest[path], failures[path])
                self.checks += 1

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection(self._address, timeout=self._timeout_seconds)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
