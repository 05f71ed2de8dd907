"""Progress of a run and the time of its steps.

A thread polls Spark's status and the counters of ended tasks (`spark_jobs.progress.task_metrics`). The run never waits
for it, and an error in it only leaves the display as it was. The numbers are for display: a report counts the written
rows. Only the wait for a first executor ends a run (`spark_jobs.progress.executor_wait`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol

from pyspark.sql import SparkSession

from spark_jobs.progress.display import Display, ProgressBar, ProgressLog
from spark_jobs.progress.executor_wait import ExecutorWait
from spark_jobs.progress.rate import Point, RateEstimator
from spark_jobs.progress.spark_status import Partitions, SparkStatus, Tasks
from spark_jobs.progress.task_metrics import TaskCounters, TaskTotals

SCORE = "score"
_POLL_SECONDS = 0.5


class Status(Protocol):
    """Source of the progress: `spark_jobs.progress.spark_status.SparkStatus`."""

    def tasks(self) -> Tasks:
        """Return the tasks of the running stages, and the number of executors."""
        ...

    def rows_scored(self, step: str) -> int:
        """Return the rows of a step that are done, those of unfinished tasks included."""
        ...


class StepMonitor:
    """Reads the progress of the current step and shows it, on each call of `look`.

    Parameters
    ----------
    status, totals
        Sources of the progress: Spark, and the counters of ended tasks.
    display
        Shows it.
    executor_wait
        Told of the tasks and the executors.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        status: Status,
        totals: Callable[[], TaskTotals],
        display: Display,
        executor_wait: ExecutorWait,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._totals = totals
        self._display = display
        self._executor_wait = executor_wait
        self._clock = clock
        self._lock = threading.Lock()
        self._step: str | None = None
        self._rate: RateEstimator | None = None
        self._total: int | None = None

    def begin(self, step: str) -> None:
        """Begin a step."""
        with self._lock:
            self._step = step
            if step == SCORE:
                self._rate = RateEstimator(self._clock())

    def end(self) -> None:
        """End the step, after a last look."""
        self.look(ended=True)
        with self._lock:
            self._step = None

    def look(self, *, ended: bool = False) -> None:
        """Read the progress and show it; `ended` means that all rows of the step are done."""
        step = self._step
        if step is None:
            return
        # Read without the lock: the run can begin its next step without waiting for Spark's answer.
        tasks, totals = self._status.tasks(), self._totals()
        self._executor_wait.observe(tasks)
        rows = max(totals.rows, self._status.rows_scored(step)) if step == SCORE else 0
        with self._lock:
            if step != self._step:
                return
            snapshot = None
            if step == SCORE and self._rate is not None:
                # Partitions are cut by a hash, so ended tasks are representative of the others.
                if totals.rows and tasks.total:
                    self._total = round(totals.rows / totals.tasks * tasks.total)
                snapshot = self._rate.read(self._clock(), rows, rows if ended else self._total)
            self._display.show(step, tasks, snapshot, totals)

    def throughput(self) -> tuple[Point, ...]:
        """Return the rows per second of the scoring step over its time."""
        with self._lock:
            return () if self._rate is None else self._rate.history()


class Progress:
    """The steps of one run: their names in Spark's web page, their durations and their progress.

    Parameters
    ----------
    spark
        The session.
    live
        Whether to show a progress bar on the terminal; otherwise log events.
    begun
        Start of the command by `time.monotonic`; the step `start` lasts from then until now. By default, now.
    executor_timeout_seconds
        For how long tasks may wait without any executor.

    Attributes
    ----------
    executor_wait
        Fails once they waited longer.
    seconds
        Duration of each step so far.
    counters
        For `spark_jobs.scoring.api.score_pairs`.
    partitions
        Durations of the tasks of the scoring step, once it has ended.
    """

    def __init__(
        self,
        spark: SparkSession,
        *,
        live: bool,
        begun: float | None = None,
        executor_timeout_seconds: float = math.inf,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self.partitions: Partitions | None = None
        self.counters = TaskCounters.of(spark.sparkContext)
        self._begun = time.monotonic() if begun is None else begun
        if begun is not None:
            self.seconds["start"] = self.total_seconds
        self.started = time.time() - self.total_seconds
        self._context = spark.sparkContext
        self._status = SparkStatus(spark)
        self._display: Display = ProgressBar() if live else ProgressLog()
        self.executor_wait = ExecutorWait(executor_timeout_seconds)
        self._monitor = StepMonitor(self._status, lambda: self.counters.total.value, self._display, self.executor_wait)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread and restore the terminal."""
        self._over.set()
        # Not for ever: the thread may hang if Spark's process hangs.
        self._thread.join(timeout=5.0)
        self._display.close()

    @property
    def total_seconds(self) -> float:
        """Seconds since the command was started."""
        return time.monotonic() - self._begun

    @contextmanager
    def step(self, name: str, details: str = "") -> Iterator[None]:
        """Run the body as the step `name`: measure its time, and name its Spark jobs.

        Parameters
        ----------
        name
            One word; the key in `seconds`.
        details
            Shown after the name in Spark's web page.
        """
        self._context.setJobDescription(f"{name}: {details}" if details else name)
        self._monitor.begin(name)
        begun = time.monotonic()
        try:
            yield
            with suppress(Exception):
                self._monitor.end()
                if name == SCORE:
                    self.partitions = self._status.partitions(SCORE)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
            with suppress(Exception):  # Spark's process may have ended
                self._context.setJobDescription("")

    def throughput(self) -> tuple[Point, ...]:
        """Return the rows per second of the scoring step over its time."""
        return self._monitor.throughput()

    def _look(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            with suppress(Exception):
                self._monitor.look()
