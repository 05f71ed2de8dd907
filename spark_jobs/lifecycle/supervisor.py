"""Ending a run early without leaving halves behind.

Spark's calls cannot be broken off from Python: the Java side goes on by itself, and might publish after we have cleaned
up. So the run works in a thread of its own, and the main thread waits for it, for signals and for dying servers. In
trouble it cancels Spark's jobs and then *waits* until the run has come to its end; only then anything is deleted.
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
    """SIGINT and SIGTERM, as an exception while nothing runs and as a note while something does."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}
        self._noted: int | None = None
        self._only_note = False

    def __enter__(self) -> Signals:
        """Begin to listen; only a process's main thread can."""
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        """Put back what was there."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals; again after the start of Spark, which takes SIGINT for itself."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._handle)
                self._previous.setdefault(number, before)

    def note_only(self) -> None:
        """Raise nothing from here on: signals are looked up with `trouble`."""
        self._only_note = True

    def trouble(self) -> JobError | None:
        """Return the interruption, if a signal has come."""
        return None if self._noted is None else RunInterruptedError(self._noted)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._noted = self._noted or number
        if not self._only_note:
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
        except BaseException as error:  # it is raised again in the main thread
            self.error = error


def supervised(
    work: Callable[[], Result],
    troubles: list[Callable[[], JobError | None]],
    cancel: Callable[[], None],
    too_late: Callable[[], bool] = lambda: False,
) -> Result:
    """Run `work` in a thread until it ends, cancelling it as soon as there is trouble.

    Parameters
    ----------
    work
        Ends with an exception soon after `cancel` was called.
    troubles
        Looked at several times a second; the first that gives an error ends the run.
    cancel
        Called again and again until `work` has ended: a job that starts just after one call meets the next. Must not
        raise.
    too_late
        Whether `work` has done what cannot be undone: it is then left to end, and trouble is not heard any more.

    Returns
    -------
    Result
        What `work` returned; also when the trouble came too late to stop it.
    """
    worker = _Worker(work)
    worker.start()
    trouble: JobError | None = None
    while worker.is_alive():
        worker.join(_POLL_SECONDS)
        trouble = trouble or next((found for look in troubles if (found := look()) is not None), None)
        if trouble is not None and worker.is_alive() and not too_late():
            cancel()
    if worker.error is None:
        return worker.result[0]
    if too_late():
        raise worker.error
    # What the dying server made the run fail with says less than that it died.
    trouble = trouble or next((found for look in troubles if (found := look()) is not None), None)
    raise trouble or worker.error
