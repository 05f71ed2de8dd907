"""How far a run is, and what its steps took.

A thread of its own looks at what Spark says about its tasks, and at what the tasks have told when they ended
(`spark_jobs.progress.task_metrics`). The run never waits for it, and whatever goes wrong in it only leaves the line as it was. What it
shows are impressions: a report counts in the data.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol

from pyspark.sql import SparkSession

from spark_jobs.progress.display import Display, ProgressBar, ProgressLog
from spark_jobs.progress.rate import Point, RateEstimator
from spark_jobs.progress.spark_status import Partitions, SparkStatus, Tasks
from spark_jobs.progress.task_metrics import TaskCounters, TaskTotals

SCORE = "score"
_POLL_SECONDS = 0.5


class Status(Protocol):
    """Where the state of the work comes from; `spark_jobs.progress.spark_status.SparkStatus`."""

    def tasks(self) -> Tasks:
        """Count the tasks of the stages that run now."""
        ...

    def rows_scored(self, step: str) -> int:
        """Count the rows of a step, those of unfinished tasks included."""
        ...


class StepMonitor:
    """Puts together what is known about the step under way, whenever it is asked to `look`.

    Parameters
    ----------
    status, work
        Where it comes from.
    display
        Where it goes.
    clock
        Seconds; for tests.
    """

    def __init__(
        self,
        status: Status,
        work: Callable[[], TaskTotals],
        display: Display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._work = work
        self._display = display
        self._clock = clock
        self._lock = threading.Lock()
        self._step: str | None = None
        self._pace: RateEstimator | None = None
        self._total: int | None = None

    def begin(self, step: str) -> None:
        """Look at another step from now on."""
        with self._lock:
            self._step = step
            if step == SCORE:
                self._pace = RateEstimator(self._clock())

    def end(self) -> None:
        """Look once more, at the end of a step."""
        self.look(ended=True)
        with self._lock:
            self._step = None

    def look(self, *, ended: bool = False) -> None:
        """Read the state of things, and show it; at the end of a step, all its rows are done."""
        step = self._step
        if step is None:
            return
        # Asked without the lock: the run, which wants to go on to its next step, does not wait for Spark's answer.
        tasks, work = self._status.tasks(), self._work()
        rows = max(work.rows, self._status.rows_scored(step)) if step == SCORE else 0
        with self._lock:
            if step != self._step:
                return
            reading = None
            if step == SCORE and self._pace is not None:
                # Partitions are cut by a hash, so the tasks that have ended speak for the others.
                if work.rows and tasks.total:
                    self._total = round(work.rows / work.tasks * tasks.total)
                reading = self._pace.read(self._clock(), rows, rows if ended else self._total)
            self._display.show(step, tasks, reading, work)

    def throughput(self) -> tuple[Point, ...]:
        """Return the rows per second of the scoring step over its time."""
        with self._lock:
            return () if self._pace is None else self._pace.history()


class Progress:
    """The steps of one run: their names in Spark's web page, their seconds, and how far they are.

    Parameters
    ----------
    spark
        The session.
    live
        Whether to show a line on the terminal, rather than log events.
    begun
        When the command was given, by `time.monotonic`; the step `start` has lasted since then. Now if absent.

    Attributes
    ----------
    seconds
        Seconds of each step so far.
    counters
        For `spark_jobs.scoring.api.score_pairs`.
    partitions
        The slowest tasks of the scoring step, once it has ended.
    """

    def __init__(self, spark: SparkSession, *, live: bool, begun: float | None = None) -> None:
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
        self._watch = StepMonitor(self._status, lambda: self.counters.total.value, self._display)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave the terminal as it was."""
        self._over.set()
        # A look that hangs because Spark's process hangs must not hold up the end.
        self._thread.join(timeout=5.0)
        self._display.close()

    @property
    def total_seconds(self) -> float:
        """Seconds since the command was given."""
        return time.monotonic() - self._begun

    @contextmanager
    def step(self, name: str, details: str = "") -> Iterator[None]:
        """Name what follows, in this thread, and take its time.

        Parameters
        ----------
        name
            One word; the key in `seconds`.
        details
            What Spark's web page shows after it.
        """
        self._context.setJobDescription(f"{name}: {details}" if details else name)
        self._watch.begin(name)
        begun = time.monotonic()
        try:
            yield
            with suppress(Exception):
                self._watch.end()
                if name == SCORE:
                    self.partitions = self._status.partitions(SCORE)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
            with suppress(Exception):  # Spark's process may be gone
                self._context.setJobDescription("")

    def throughput(self) -> tuple[Point, ...]:
        """Return the rows per second of the scoring step over its time."""
        return self._watch.throughput()

    def _look(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            with suppress(Exception):
                self._watch.look()
