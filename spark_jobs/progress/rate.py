"""Rows per second and remaining time of the scoring step, computed from counts and clock readings."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

_WINDOW_SECONDS = 20.0
_POINTS = 120
_STRETCH_SECONDS = 2.0


@dataclass(frozen=True)
class Point:
    """Rows per second in the stretch of time that ended `seconds` after the step began."""

    seconds: float
    rows_per_second: float


@dataclass(frozen=True)
class RateSnapshot:
    """Progress at one moment.

    Attributes
    ----------
    rows, total
        Rows done, and all rows. The total is an estimate until everything is done, `None` before there is one.
    rows_per_second
        Mean over the last 20 seconds, without the time before the first row.
    eta_seconds
        Seconds until the last row, `None` if unknown.
    """

    rows: int
    total: int | None
    rows_per_second: float
    eta_seconds: float | None


class RateEstimator:
    """Estimates the rate from counts of rows done.

    Parameters
    ----------
    now
        The clock at the start, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._started = now
        self._recent: deque[tuple[float, int]] = deque([(now, 0)])
        self._history: list[tuple[float, int]] = [(now, 0)]
        self._every = 1

    def read(self, now: float, rows: int, total: int | None) -> RateSnapshot:
        """Record that `rows` are done at `now`, and return the rate. A count never falls below the last one."""
        rows = max(rows, self._recent[-1][1])
        if not rows:
            # The time before the first row, such as deduplication, does not count as scoring.
            self._recent = deque([(now, 0)])
        elif now > self._recent[-1][0]:
            self._recent.append((now, rows))
            while len(self._recent) > 2 and now - self._recent[1][0] >= _WINDOW_SECONDS:
                self._recent.popleft()
            if rows != self._history[-1][1]:
                if len(self._history) == 1 and self._recent[0][0] > self._started:
                    self._history.append(self._recent[0])
                self._history.append((now, rows))
                if len(self._history) > 2 * _POINTS:
                    # Every second point is dropped, so that their number is bounded however long the run is.
                    self._history = [self._history[0], *self._history[2::2]]
        (then, before), (last, done) = self._recent[0], self._recent[-1]
        rate = (done - before) / (last - then) if last > then else 0.0
        total = None if total is None else max(total, rows)
        eta = (total - rows) / rate if total is not None and rate > 0 else None
        return RateSnapshot(rows, total, rate, eta)

    def history(self) -> tuple[Point, ...]:
        """Return the rows per second of each stretch of time so far.

        A stretch ends when the count changed and it is long enough to span several executor heartbeats.
        """
        marks = self._history[:1]
        for mark in self._history[1:]:
            if mark[0] - marks[-1][0] >= _STRETCH_SECONDS or (mark[1] == 0 and mark[0] > marks[-1][0]):
                marks.append(mark)
        if len(self._history) > 1 and marks[-1] != self._history[-1]:
            marks[max(1, len(marks) - 1) :] = [self._history[-1]]
        pairs = pairwise(marks)
        return tuple(
            Point(round(now - self._started, 2), round((rows - before) / (now - then), 1))
            for (then, before), (now, rows) in pairs
        )
