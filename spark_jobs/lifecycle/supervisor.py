"""Supervision of a run: it ends early, and without partial output, on a signal or a failure.

A call into Spark cannot be aborted from Python: Java goes on, and might publish after the clean-up. So the run has its
own thread, and the main thread checks for its end, for signals and for failures. After a failure it cancels Spark's
jobs and *waits* for the end of the run before anything is deleted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Generic, TypeVar

from spark_jobs.errors import JobError, RunInterruptedError

Result = TypeVar("Result")

_POLL_SECONDS = 0.1


class Signals:
    """Handles SIGINT and SIGTERM: raises an exception at once or, after `defer`, keeps it for `failure`."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self._received: int | None = None
        self._deferred = False

    def __enter__(self) -> Signals:
        """Install the handlers; only the main thread can."""
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Install the handlers; to be called again after the start of Spark, which installs its own for SIGINT."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._handle)
                self._previous.setdefault(number, before)

    def defer(self) -> None:
        """Raise no exception from now on; `failure` returns it."""
        self._deferred = True

    def failure(self) -> JobError | None:
        """Return the error of a received signal; `None` if there was none."""
        return None if self._received is None else RunInterruptedError(self._received)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._received = self._received or number
        if not self._deferred:
            raise RunInterruptedError(number)


class _Worker(threading.Thread, Generic[Result]):
    def __init__(self, work: Callable[[], Result]) -> None:
        super().__init__(name="run", daemon=True)
        self._work = work
        self.result: list[Result] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result.append(self._work())
        except BaseException as error:  # raised again in the main thread
            self.error = error


def supervised(
    work: Callable[[], Result],
    failure_checks: list[Callable[[], JobError | None]],
    cancel: Callable[[], None],
    past_commit: Callable[[], bool] = lambda: False,
) -> Result:
    """Run `work` in a thread until it ends, and cancel it on the first failure.

    Parameters
    ----------
    work
        The run. It ends with an exception soon after `cancel` was called.
    failure_checks
        Called several times a second; the first that returns an error ends the run.
    cancel
        Called repeatedly until `work` has ended, since a Spark job may start just after a call. Must not raise.
    past_commit
        Returns whether `work` has published: it then runs to its end, and failures are ignored.

    Returns
    -------
    Result
        What `work` returned; also if a failure came after the commit.
    """
    worker = _Worker(work)
    worker.start()
    failure: JobError | None = None
    while worker.is_alive():
        worker.join(_POLL_SECONDS)
        failure = failure or _first(failure_checks)
        if failure is not None and worker.is_alive() and not past_commit():
            cancel()
    if worker.error is None:
        return worker.result[0]
    if past_commit():
        raise worker.error
    # The cause, such as the death of a server, says more than the error that it caused in the run.
    raise failure or _first(failure_checks) or worker.error


def _first(checks: list[Callable[[], JobError | None]]) -> JobError | None:
    """Return the error of the first check that has one."""
    return next((found for check in checks if (found := check()) is not None), None)
