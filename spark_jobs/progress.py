"""Showing how far a run is: one live line on a terminal, a log event every few seconds otherwise.

A thread of its own looks at what Spark says about its tasks, and at what the tasks have told when they ended
(`spark_jobs.meter`). The run never waits for it, and whatever goes wrong in it only leaves the line as it was. What it
shows are impressions: a report counts in the data.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Protocol

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from spark_jobs.meter import TaskMeter, Work
from spark_jobs.pace import Pace, Point, Reading
from spark_jobs.spark_status import Partitions, SparkStatus, Tasks

log = logging.getLogger("spark_jobs")

SCORE = "score"
_GLANCE_S = 0.5
_EVENT_EVERY_S = 5.0


class Status(Protocol):
    """Where the state of the work comes from; `spark_jobs.spark_status.SparkStatus`."""

    def tasks(self) -> Tasks:
        """Count the tasks of the stages that run now."""
        ...

    def rows_scored(self, step: str) -> int:
        """Count the rows of a step, those of unfinished tasks included."""
        ...


class Display(Protocol):
    """Where progress is shown."""

    def show(self, step: str, tasks: Tasks, reading: Reading | None, work: Work) -> None:
        """Show the state of a step; `reading` is there once its rows are counted."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class Watch:
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
        self, status: Status, work: Callable[[], Work], display: Display, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._status = status
        self._work = work
        self._display = display
        self._clock = clock
        self._lock = threading.Lock()
        self._step: str | None = None
        self._pace: Pace | None = None
        self._total: int | None = None

    def begin(self, step: str) -> None:
        """Look at another step from now on."""
        with self._lock:
            self._step = step
            if step == SCORE:
                self._pace = Pace(self._clock())

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
        """Give the rows per second of the scoring step over its time."""
        with self._lock:
            return () if self._pace is None else self._pace.history()


class LiveLine:
    """One line at the bottom of a terminal.

    Log lines that arrive meanwhile are written above it.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self._closing = ExitStack()
        self._task: TaskID | None = None
        terminal = sys.stdout
        handlers = [each for each in logging.getLogger().handlers if getattr(each, "stream", None) is terminal]
        self._closing.enter_context(self._bars)
        for handler in handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stdout)  # which is now one that keeps out of the line's way
                self._closing.callback(handler.setStream, terminal)

    def show(self, step: str, tasks: Tasks, reading: Reading | None, work: Work) -> None:
        """Show the state of a step."""
        done, total = tasks.done, tasks.total or None
        if reading is not None and reading.total and reading.rows:
            done, total = reading.rows, reading.total
        facts = " · ".join(_facts(tasks, reading, work))
        if self._task is None:
            self._task = self._bars.add_task(step, total=total, facts=facts)
        self._bars.update(self._task, description=step, completed=done, total=total, facts=facts)

    def close(self) -> None:
        """Take the line away."""
        self._closing.close()


class Events:
    """A log event every few seconds, and one at the end of scoring."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._ended = False

    def show(self, step: str, tasks: Tasks, reading: Reading | None, work: Work) -> None:
        """Log the state of a step, unless the last event is too near."""
        ended = reading is not None and reading.rows > 0 and reading.rows == reading.total
        if (self._ended and ended) or (not ended and self._clock() - self._last < _EVENT_EVERY_S):
            return
        self._ended = ended
        self._last = self._clock()
        event: dict[str, object] = {"step": step, "tasks_done": tasks.done, "tasks_total": tasks.total}
        if reading is not None:
            event |= {
                "rows_done": reading.rows,
                "rows_total": reading.total,
                "rows_per_s": round(reading.rows_per_s),
                "eta_s": None if reading.eta_s is None else round(reading.eta_s, 1),
                "in_flight": work.in_flight or None,
                "retries": work.retries,
            }
        log.info("progress", extra=event)

    def close(self) -> None:
        """Nothing is left to do."""


class Progress:
    """The steps of one run: their names in Spark's web page, their seconds, and how far they are.

    Parameters
    ----------
    spark
        The session.
    live
        Whether to show a line on the terminal, rather than log events.
    begun
        When the command was given, by `time.monotonic`; the step ``start`` has lasted since then. Now if absent.

    Attributes
    ----------
    seconds
        Seconds of each step so far.
    meter
        For `spark_jobs.scoring.score_pairs`.
    partitions
        The slowest tasks of the scoring step, once it has ended.
    """

    def __init__(self, spark: SparkSession, *, live: bool, begun: float | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.partitions: Partitions | None = None
        self.meter = TaskMeter.of(spark.sparkContext)
        self._begun = time.monotonic() if begun is None else begun
        if begun is not None:
            self.seconds["start"] = self.total_s
        self.started = time.time() - self.total_s
        self._context = spark.sparkContext
        self._status = SparkStatus(spark)
        self._display: Display = LiveLine() if live else Events()
        self._watch = Watch(self._status, lambda: self.meter.total.value, self._display)
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
    def total_s(self) -> float:
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
        """Give the rows per second of the scoring step over its time."""
        return self._watch.throughput()

    def _look(self) -> None:
        while not self._over.wait(_GLANCE_S):
            with suppress(Exception):
                self._watch.look()


def _facts(tasks: Tasks, reading: Reading | None, work: Work) -> Iterator[str]:
    if reading is None or not reading.rows:
        if tasks.total:
            yield f"{tasks.done} of {tasks.total} tasks"
        return
    yield f"{reading.rows:,}" + (f" of {reading.total:,}" if reading.total else "") + " rows"
    yield f"{reading.rows_per_s:,.0f}/s"
    if reading.eta_s is not None:
        yield f"{duration(reading.eta_s)} left"
    if work.in_flight:
        yield f"{work.in_flight} in flight"
    if work.retries:
        yield f"{work.retries:,} {'retry' if work.retries == 1 else 'retries'}"


def duration(seconds: float) -> str:
    """Write a time for a person: ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
