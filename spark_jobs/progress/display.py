"""Displays of progress: a live line on a terminal, otherwise a log event every few seconds."""

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

log = logging.getLogger(__name__)

_LOG_INTERVAL_SECONDS = 5.0


class Display(Protocol):
    """Shows the progress of a run."""

    def show(self, step: str, tasks: Tasks, snapshot: RateSnapshot | None, totals: TaskTotals) -> None:
        """Show the state of a step; `snapshot` is `None` if its rows are not counted."""
        ...

    def close(self) -> None:
        """Stop showing progress."""
        ...


class ProgressBar:
    """A progress bar at the bottom of a terminal; log lines are written above it."""

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
        logs.set_stream(sys.stdout)  # rich has replaced it by one that writes above the bar
        self._closing.callback(logs.set_stream, terminal)

    def show(self, step: str, tasks: Tasks, snapshot: RateSnapshot | None, totals: TaskTotals) -> None:
        """Show the state of a step."""
        done, total = tasks.done, tasks.total or None
        if snapshot is not None and snapshot.total and snapshot.rows:
            done, total = snapshot.rows, snapshot.total
        facts = " · ".join(_facts(tasks, snapshot, totals))
        if self._task is None:
            self._task = self._bars.add_task(step, total=total, facts=facts)
        self._bars.update(self._task, description=step, completed=done, total=total, facts=facts)

    def close(self) -> None:
        """Remove the bar."""
        self._closing.close()


class ProgressLog:
    """A log event every five seconds, and one at the end of scoring."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._ended = False

    def show(self, step: str, tasks: Tasks, snapshot: RateSnapshot | None, totals: TaskTotals) -> None:
        """Log the state of a step, unless the last event was less than five seconds ago."""
        ended = snapshot is not None and snapshot.rows > 0 and snapshot.rows == snapshot.total
        if (self._ended and ended) or (not ended and self._clock() - self._last < _LOG_INTERVAL_SECONDS):
            return
        self._ended = ended
        self._last = self._clock()
        event: dict[str, object] = {"step": step, "tasks_done": tasks.done, "tasks_total": tasks.total}
        if _waits_for_executors(tasks):
            event["waiting_for"] = "executors"
        if snapshot is not None:
            event |= {
                "rows_done": snapshot.rows,
                "rows_total": snapshot.total,
                "rows_per_second": round(snapshot.rows_per_second),
                "eta_seconds": None if snapshot.eta_seconds is None else round(snapshot.eta_seconds, 1),
                "in_flight": totals.in_flight or None,
                "retries": totals.retries,
            }
        log.info("progress", extra=event)

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""


def _waits_for_executors(tasks: Tasks) -> bool:
    return tasks.total > 0 and tasks.executors == 0


def _facts(tasks: Tasks, snapshot: RateSnapshot | None, totals: TaskTotals) -> Iterator[str]:
    if _waits_for_executors(tasks):
        yield "waiting for executors"
    if snapshot is None or not snapshot.rows:
        if tasks.total:
            yield f"{tasks.done} of {tasks.total} tasks"
        return
    yield f"{snapshot.rows:,}" + (f" of {snapshot.total:,}" if snapshot.total else "") + " rows"
    yield f"{snapshot.rows_per_second:,.0f}/s"
    if snapshot.eta_seconds is not None:
        yield f"{duration(snapshot.eta_seconds)} left"
    if totals.in_flight:
        yield f"{totals.in_flight} in flight"
    if totals.retries:
        yield f"{totals.retries:,} {'retry' if totals.retries == 1 else 'retries'}"
