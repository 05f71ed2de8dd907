"""Progress of a step: a bar on a terminal, else a plain line every 15 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from qtr_runtime.terminal import duration

_PLAIN_INTERVAL_SECONDS = 15.0


@dataclass(slots=True)
class Task:
    """A countable task; `update` shows its progress."""

    title: str
    total: int
    unit: str
    start: int
    _bar: RichProgress | None
    _console: Console
    _started_at: float = field(default_factory=time.monotonic)
    _shown_at: float = field(default_factory=time.monotonic)

    def update(self, done: int, **values: float) -> None:
        """Show that `done` of the total are done, and further `values` such as a loss."""
        shown = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[-1], completed=done, values=shown)
            return
        now = time.monotonic()
        if now - self._shown_at >= _PLAIN_INTERVAL_SECONDS:
            self._shown_at = now
            self._console.print(self._line(done, shown, now - self._started_at), highlight=False)

    def _line(self, done: int, values: str, seconds: float) -> str:
        rate = (done - self.start) / max(seconds, 1e-9)
        left = duration((self.total - done) / rate) + " left" if rate > 0 else ""
        parts = [f"{done:,} of {self.total:,} {self.unit}", f"{rate:,.0f}/s", values, left]
        return f"{self.title}: " + ", ".join(part for part in parts if part)


class Progress:
    """Shows tasks, one at a time, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=not sys.stderr.isatty())

    def say(self, sentence: str) -> None:
        """Print a line with the time of day."""
        self._console.print(f"{time.strftime('%H:%M:%S')} {sentence}", highlight=False, markup=False)

    @contextmanager
    def task(self, title: str, total: int, *, start: int = 0, unit: str = "steps") -> Iterator[Task]:
        """Show a task until the context ends; an earlier run did the first `start` units."""
        started_at = time.monotonic()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with RichProgress(*columns, TextColumn("{task.fields[values]}"), console=self._console) as bar:
                bar.add_task(title, total=total, completed=start, values="")
                yield Task(title, total, unit, start, bar, self._console)
        else:
            yield Task(title, total, unit, start, None, self._console)
        self.say(f"{title}: {total:,} {unit} in {duration(time.monotonic() - started_at)}")
