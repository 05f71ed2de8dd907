"""The waiting room between callers and the model: bounded, in two lanes, deadline-aware, batching by token budget.

No timer forms a batch. An idle model takes whatever is there at once, so a lone call never waits; a busy one finds
more waiting when it comes back, so batches grow with load. Work is bounded when it is offered, and work that nobody
can use any more (caller gone, deadline passed or out of reach) is dropped when it is taken, before it costs anything.
That a deadline is out of reach is an estimate: on its word alone work makes way for other work, and never for nothing.

People come before jobs: the interactive lane is served first, and each lane has a bound of its own, so that a nightly
run can neither delay nor crowd out a person. While people ask, jobs go in smaller batches, or a person would wait for a
large one to end. The bulk lane cannot starve: once its head has waited for `starvation_seconds`, it gets every other
batch.

Pure: it knows threads and a clock, and nothing of gRPC or the model.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Final, Protocol

from grpc_server.errors import DrainingError, LaneFullError
from relevance_model import Pairs

# People are taken to be around for so long after one asked.
_INTERACTIVE_WINDOW_SECONDS: Final = 5.0


class Lane(Enum):
    """Who waits for the answer."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class Dropped(Enum):
    """Why work was not done."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Pace(Protocol):
    """How fast the model works off tokens."""

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to work off `tokens`, in seconds."""


@dataclass(slots=True, eq=False)
class Work:
    """Rows on their way to the model.

    Attributes
    ----------
    pairs
        The rows.
    tokens
        Estimated tokens that the model must read for them.
    lane
        Where they wait.
    group
        Only work of one group (a model version) shares a batch.
    deadline
        When the answer stops being of use, on the queue's clock; `None` if never.
    request_id
        For the log.
    context
        The call's, for whoever observes.
    cancelled
        Set by the caller when it no longer waits.
    last
        Whether this is the last part of its request; set by the queue.
    enqueued, taken
        When the work came in and when its batch was formed, on the queue's clock.
    """

    pairs: Pairs
    tokens: int
    lane: Lane = Lane.BULK
    group: object = None
    deadline: float | None = None
    request_id: str = ""
    context: Context = field(default_factory=Context)
    cancelled: bool = False
    last: bool = field(default=False, init=False)
    enqueued: float = field(default=0.0, init=False)
    taken: float = field(default=0.0, init=False)


class WorkQueue:
    """First in, first out within a lane, in batches of up to `batch_tokens`.

    Parameters
    ----------
    max_tokens
        Estimated tokens that may wait in each lane. A larger request is taken in when nothing else waits in its lane.
    batch_tokens
        Estimated tokens of one batch; a batch holds at least one piece of work.
    mixed_batch_tokens
        The same for the bulk lane while people ask.
    pace
        Predicts how long waiting work will take.
    on_drop
        Told of every piece of work that is dropped, on the thread that takes.
    starvation_seconds
        How long the bulk lane may be passed over.
    clock
        Seconds, monotonic.

    Attributes
    ----------
    max_tokens
        As given.
    """

    def __init__(
        self,
        *,
        max_tokens: int,
        batch_tokens: int,
        mixed_batch_tokens: int,
        pace: Pace,
        on_drop: Callable[[Work, Dropped], None],
        starvation_seconds: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._mixed_batch_tokens = min(batch_tokens, mixed_batch_tokens)
        self._pace = pace
        self._on_drop = on_drop
        self._starvation_seconds = starvation_seconds
        self._clock = clock
        self._waiting: dict[Lane, deque[Work]] = {lane: deque() for lane in Lane}
        self._tokens = dict.fromkeys(Lane, 0)
        self._requests = dict.fromkeys(Lane, 0)
        self._last_taken = Lane.BULK
        self._last_interactive_at = -math.inf
        self._closed = False
        self._idle = False
        self._held = False
        self._changed = threading.Condition()

    def tokens(self, lane: Lane) -> int:
        """Return the estimated tokens that wait in `lane`."""
        return self._tokens[lane]

    def requests(self, lane: Lane) -> int:
        """Return the number of requests of which at least the last part waits in `lane`."""
        return self._requests[lane]

    @property
    def closed(self) -> bool:
        """Whether new work is refused."""
        return self._closed

    def budget(self, lane: Lane) -> int:
        """Return the estimated tokens of a batch of `lane` at the moment; a larger request is best cut before."""
        company = lane is Lane.BULK and self._clock() - self._last_interactive_at < _INTERACTIVE_WINDOW_SECONDS
        return self._mixed_batch_tokens if company else self._batch_tokens

    def offer(self, parts: Sequence[Work], *, hold: bool = False) -> None:
        """Take in all parts of one request, or none of them.

        Parameters
        ----------
        parts
            The request.
        hold
            Whether this, and what else is interactive, is kept from `take` for the moment; then
            `take_inline` or `release` must be called soon.

        Raises
        ------
        UnavailableError
            If the queue is closed or the request's lane is full.
        """
        lane = parts[0].lane
        tokens = parts[0].tokens if len(parts) == 1 else sum(part.tokens for part in parts)
        with self._changed:
            if self._closed:
                raise DrainingError("the server is draining", 0.0)
            waiting = self._tokens[lane]
            if waiting and waiting + tokens > self.max_tokens:
                reason = f"about {waiting} {lane.value} tokens wait, the limit is {self.max_tokens}"
                raise LaneFullError(reason, self._pace.seconds_for(waiting))
            now = self._clock()
            if lane is Lane.INTERACTIVE:
                self._last_interactive_at = now
            for part in parts:
                part.enqueued = now
            parts[-1].last = True
            self._waiting[lane].extend(parts)
            self._tokens[lane] += tokens
            self._requests[lane] += 1
            if hold:
                self._held = True
            else:
                self._changed.notify()

    def take(self) -> list[Work]:
        """Wait for work and return the next batch; empty once the queue is closed and nothing waits."""
        while True:
            with self._changed:
                self._idle = True
                self._changed.wait_for(self._ready)
                self._idle = False
                batch, dropped = self._next_batch()
                finished = self._closed and not any(self._waiting.values())
            for work, reason in dropped:
                self._on_drop(work, reason)
            if batch or finished:
                return batch

    def take_inline(self, most_tokens: int) -> list[Work]:
        """Return the next batch, without waiting, if it is interactive and small and nobody is at work.

        Otherwise it is left to whoever waits in `take`, who is told, or who is at work and will come back.
        """
        with self._changed:
            self._held = False
            if not self._idle or not self._waiting[Lane.INTERACTIVE] or self._tokens[Lane.INTERACTIVE] > most_tokens:
                self._changed.notify()
                return []
            batch, dropped = self._next_batch()
            if any(self._waiting.values()):
                self._changed.notify()
        for work, reason in dropped:
            self._on_drop(work, reason)
        return batch

    def release(self) -> None:
        """Hand out what was held."""
        with self._changed:
            self._held = False
            self._changed.notify()

    def close(self) -> None:
        """Refuse new work; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._held = False
            self._changed.notify_all()

    def _ready(self) -> bool:
        waiting = self._waiting
        return self._closed or bool(waiting[Lane.BULK]) or (bool(waiting[Lane.INTERACTIVE]) and not self._held)

    def _next_lane(self, now: float) -> Lane:
        bulk = self._waiting[Lane.BULK]
        if not self._waiting[Lane.INTERACTIVE] or self._held:
            return Lane.BULK
        starving = bool(bulk) and now - bulk[0].enqueued >= self._starvation_seconds
        return Lane.BULK if starving and self._last_taken is Lane.INTERACTIVE else Lane.INTERACTIVE

    def _next_batch(self) -> tuple[list[Work], list[tuple[Work, Dropped]]]:
        now = self._clock()
        lane = self._next_lane(now)
        waiting, budget = self._waiting[lane], self.budget(lane)
        batch: list[Work] = []
        dropped: list[tuple[Work, Dropped]] = []
        late: list[Work] = []
        tokens = 0
        while waiting:
            work = waiting[0]
            reason = self._unusable(work, now)
            fits = not batch or (work.group is batch[0].group and tokens + work.tokens <= budget)
            if reason is None and not fits:
                break
            waiting.popleft()
            self._tokens[lane] -= work.tokens
            self._requests[lane] -= work.last
            if reason is not None:
                dropped.append((work, reason))
            elif self._out_of_reach(work, now):
                late.append(work)
            else:
                work.taken = now
                batch.append(work)
                tokens += work.tokens
        if late and not batch and not any(self._waiting.values()):
            # Nothing else to do, and perhaps the estimate is wrong: only work that is done can show it.
            hopeful = max(late, key=_deadline)
            late.remove(hopeful)
            hopeful.taken = now
            batch.append(hopeful)
        dropped += [(work, Dropped.DEADLINE) for work in late]
        if batch:
            self._last_taken = lane
        return batch, dropped

    def _unusable(self, work: Work, now: float) -> Dropped | None:
        if work.cancelled:
            return Dropped.CANCELLED
        return Dropped.DEADLINE if now > _deadline(work) else None

    def _out_of_reach(self, work: Work, now: float) -> bool:
        return work.deadline is not None and now + self._pace.seconds_for(work.tokens) > work.deadline


def _deadline(work: Work) -> float:
    return math.inf if work.deadline is None else work.deadline
