"""How long tasks have waited without any executor. Spark itself would wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from spark_jobs.errors import JobError, RunFailedError
from spark_jobs.progress.spark_status import Tasks


class ExecutorWait:
    """Times the wait, from the tasks and executors that it is told of.

    Parameters
    ----------
    timeout_seconds
        Longest wait; the run fails after it.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._since: float | None = None

    def observe(self, tasks: Tasks) -> None:
        """Take in the state of the running stages; an unknown number of executors changes nothing."""
        if tasks.executors is None:
            return
        if tasks.executors or not tasks.total:
            self._since = None
        elif self._since is None:
            self._since = self._clock()

    def failure(self) -> JobError | None:
        """Return the error that ends the run once the wait was too long, else `None`."""
        since = self._since
        if since is None or self._clock() - since < self._timeout_seconds:
            return None
        return RunFailedError(
            f"no executor has registered for {self._timeout_seconds:g} s (--executor-timeout-seconds): the cluster has "
            "no room for one of this size, or its image does not start"
        )
