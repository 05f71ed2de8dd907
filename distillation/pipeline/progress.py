"""What a step shows while it works: a bar on a terminal, else a plain line now and then."""

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
    """A countable piece of work; `update` shows how far it is."""

    title: str
    total: int
    unit: str
    start: int
    _show: RichProgress | None
    _console: Console
    _begun: float = field(default_factory=time.monotonic)
    _shown: float = field(default_factory=time.monotonic)

    def update(self, done: int, **facts: float) -> None:
        """Say that `done` of the total are done; `facts` are numbers worth seeing, such as a loss."""
        said = " ".join(f"{name} {value:.4g}" for name, value in facts.items())
        if self._show is not None:
            self._show.update(self._show.task_ids[-1], completed=done, facts=said)
            return
        now = time.monotonic()
        if now - self._shown >= _PLAIN_INTERVAL_SECONDS:
            self._shown = now
            self._console.print(self._line(done, said, now - self._begun), highlight=False)

    def _line(self, done: int, said: str, seconds: float) -> str:
        rate = (done - self.start) / max(seconds, 1e-9)
        left = duration((self.total - done) / rate) + " left" if rate > 0 else ""
        parts = [f"{done:,} of {self.total:,} {self.unit}", f"{rate:,.0f}/s", said, left]
        return f"{self.title}: " + ", ".join(part for part in parts if part)


class Progress:
    """Shows tasks one after another on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=not sys.stderr.isatty())

    def say(self, sentence: str) -> None:
        """Print a line."""
        self._console.print(f"{time.strftime('%H:%M:%S')} {sentence}", highlight=False, markup=False)

    @contextmanager
    def task(self, title: str, total: int, *, start: int = 0, unit: str = "steps") -> Iterator[Task]:
        """Show a task while the context lasts; `start` were done by an earlier run."""
        begun = time.monotonic()
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with RichProgress(*columns, TextColumn("{task.fields[facts]}"), console=self._console) as bar:
                bar.add_task(title, total=total, completed=start, facts="")
                yield Task(title, total, unit, start, bar, self._console)
        else:
            yield Task(title, total, unit, start, None, self._console)
        self.say(f"{title}: {total:,} {unit} in {duration(time.monotonic() - begun)}")
