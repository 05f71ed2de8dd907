"""The waiting room between callers and the model: bounded, deadline-aware, batching by token budget.

No timer forms a batch. An idle model takes whatever is there at once, so a lone call never waits; a busy one finds
more waiting when it comes back, so batches grow with load. Work is bounded when it is offered, and work that nobody
can use any more (caller gone, deadline passed or out of reach) is dropped when it is taken, before it costs anything.

Pure: it knows threads and a clock, and nothing of gRPC or the model.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Protocol

from grpc_server.errors import UnavailableError
from relevance_model import Pairs


class Dropped(Enum):
    """Why work was not done."""

    ABANDONED = "abandoned"
    DEADLINE = "deadline"


class Pace(Protocol):
    """How fast the model works off tokens."""

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to work off ``tokens``, in seconds."""


@dataclass(slots=True, eq=False)
class Work:
    """One request's rows on their way to the model.

    Attributes
    ----------
    pairs
        The rows.
    tokens
        Estimated tokens that the model must read for them.
    deadline
        When the answer stops being of use, on the queue's clock; ``None`` if never.
    request_id
        For the log.
    abandoned
        Set by the caller when it no longer waits.
    enqueued, taken
        When the work came in and when its batch was formed, on the queue's clock.
    """

    pairs: Pairs
    tokens: int
    deadline: float | None = None
    request_id: str = ""
    abandoned: bool = False
    enqueued: float = field(default=0.0, init=False)
    taken: float = field(default=0.0, init=False)


class WorkQueue:
    """First in, first out, in batches of up to ``batch_tokens``.

    Parameters
    ----------
    max_rows
        Rows that may wait. A single larger request is taken in when nothing else waits.
    batch_tokens
        Estimated tokens of one batch; a batch holds at least one piece of work.
    pace
        Predicts how long waiting work will take.
    on_drop
        Told of every piece of work that is dropped, on the thread that takes.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        *,
        max_rows: int,
        batch_tokens: int,
        pace: Pace,
        on_drop: Callable[[Work, Dropped], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._max_rows = max_rows
        self._batch_tokens = batch_tokens
        self._pace = pace
        self._on_drop = on_drop
        self._clock = clock
        self._waiting: deque[Work] = deque()
        self._rows = 0
        self._tokens = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def offer(self, work: Work) -> None:
        """Take ``work`` in.

        Raises
        ------
        UnavailableError
            If the queue is closed or full.
        """
        with self._changed:
            if self._closed:
                raise UnavailableError("the server is draining", 0.0)
            if self._waiting and self._rows + len(work.pairs) > self._max_rows:
                raise UnavailableError(
                    f"{self._rows} rows wait, the limit is {self._max_rows}", self._pace.seconds_for(self._tokens)
                )
            work.enqueued = self._clock()
            self._waiting.append(work)
            self._rows += len(work.pairs)
            self._tokens += work.tokens
            self._changed.notify()

    def take(self) -> list[Work]:
        """Wait for work and return the next batch; empty once the queue is closed and nothing waits."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                batch, dropped = self._next_batch()
                finished = self._closed and not self._waiting
            for work, reason in dropped:
                self._on_drop(work, reason)
            if batch or finished:
                return batch

    def close(self) -> None:
        """Refuse new work; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next_batch(self) -> tuple[list[Work], list[tuple[Work, Dropped]]]:
        now = self._clock()
        batch: list[Work] = []
        dropped: list[tuple[Work, Dropped]] = []
        tokens = 0
        while self._waiting:
            work = self._waiting[0]
            reason = self._unusable(work, now)
            if reason is None and batch and tokens + work.tokens > self._batch_tokens:
                break
            self._waiting.popleft()
            self._rows -= len(work.pairs)
            self._tokens -= work.tokens
            if reason is not None:
                dropped.append((work, reason))
                continue
            work.taken = now
            batch.append(work)
            tokens += work.tokens
        return batch, dropped

    def _unusable(self, work: Work, now: float) -> Dropped | None:
        if work.abandoned:
            return Dropped.ABANDONED
        if work.deadline is not None and now + self._pace.seconds_for(work.tokens) > work.deadline:
            return Dropped.DEADLINE
        return None
