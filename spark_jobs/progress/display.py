"""Where progress is shown: one live line on a terminal, a log event every few seconds otherwise."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from qtr_runtime import logs
from qtr_runtime.terminal import duration
from spark_jobs.progress.rate import RateSnapshot
from spark_jobs.progress.spark_status import Tasks
from spark_jobs.progress.task_metrics import TaskTotals

log = logging.getLogger("spark_jobs")

_EVENT_EVERY_SECONDS = 5.0


class Display(Protocol):
    """Where progress is shown."""

    def show(self, step: str, tasks: Tasks, reading: RateSnapshot | None, work: TaskTotals) -> None:
        """Show the state of a step; `reading` is there once its rows are counted."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class ProgressBar:
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
        self._closing.enter_context(self._bars)
        logs.set_stream(sys.stdout)  # which is now one that keeps out of the line's way
        self._closing.callback(logs.set_stream, terminal)

    def show(self, step: str, tasks: Tasks, reading: RateSnapshot | None, work: TaskTotals) -> None:
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


class ProgressLog:
    """A log event every few seconds, and one at the end of scoring."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._ended = False

    def show(self, step: str, tasks: Tasks, reading: RateSnapshot | None, work: TaskTotals) -> None:
        """Log the state of a step, unless the last event is too near."""
        ended = reading is not None and reading.rows > 0 and reading.rows == reading.total
        if (self._ended and ended) or (not ended and self._clock() - self._last < _EVENT_EVERY_SECONDS):
            return
        self._ended = ended
        self._last = self._clock()
        event: dict[str, object] = {"step": step, "tasks_done": tasks.done, "tasks_total": tasks.total}
        if reading is not None:
            event |= {
                "rows_done": reading.rows,
                "rows_total": reading.total,
                "rows_per_seconds": round(reading.rows_per_seconds),
                "eta_seconds": None if reading.eta_seconds is None else round(reading.eta_seconds, 1),
                "in_flight": work.in_flight or None,
                "retries": work.retries,
            }
        log.info("progress", extra=event)

    def close(self) -> None:
        """Nothing is left to do."""


def _facts(tasks: Tasks, reading: RateSnapshot | None, work: TaskTotals) -> Iterator[str]:
    if reading is None or not reading.rows:
        if tasks.total:
            yield f"{tasks.done} of {tasks.total} tasks"
        return
    yield f"{reading.rows:,}" + (f" of {reading.total:,}" if reading.total else "") + " rows"
    yield f"{reading.rows_per_seconds:,.0f}/s"
    if reading.eta_seconds is not None:
        yield f"{duration(reading.eta_seconds)} left"
    if work.in_flight:
        yield f"{work.in_flight} in flight"
    if work.retries:
        yield f"{work.retries:,} {'retry' if work.retries == 1 else 'retries'}"
