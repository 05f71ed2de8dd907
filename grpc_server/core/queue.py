"""The queue between callers and the model: bounded, two lanes, aware of deadlines, batches by token budget.

No timer forms a batch. An idle model takes what waits at once, so a lone call never waits. A busy model finds more work
when it comes back, so batches grow with load.

The bound applies when work is offered. When work is taken, the queue drops what is of no use any more, before it costs
anything: its caller has left, its deadline has passed, or its deadline cannot be met. The last is an estimate; on it
alone, work is dropped only in favour of other work.

The interactive lane is served first and each lane has its own bound, so a nightly run neither delays nor displaces
interactive calls. While there is interactive traffic, bulk batches are smaller, because an interactive call may have to
wait for one to end. The bulk lane cannot starve: once its head has waited for `starvation_seconds`, it gets every other
batch. Within a lane, sources (the connections of interactive callers) are served in turn, so that one that sends much
hardly delays the others.

The queue uses threads and a clock; it does not depend on gRPC or the model.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

from grpc_server.core.fair_queue import FairQueue
from grpc_server.core.work import DropReason, Lane, Work
from grpc_server.errors import DrainingError, LaneFullError

# The part of a lane's tokens that one source may have waiting.
_SOURCE_SHARE: Final = 4
# Interactive traffic counts as active for this long after the last interactive request.
_INTERACTIVE_WINDOW_SECONDS: Final = 5.0


class Throughput(Protocol):
    """How fast the model processes tokens."""

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to process `tokens`, in seconds."""


class WorkQueue:
    """First in, first out within a lane and source, in batches of up to `batch_tokens`.

    Parameters
    ----------
    max_tokens
        Estimated tokens that may wait in each lane. A larger request is accepted when its lane is empty.
    batch_tokens
        Estimated tokens of one batch; a batch holds at least one piece of work.
    mixed_batch_tokens
        The same for the bulk lane while there is interactive traffic.
    throughput
        Predicts how long waiting work will take.
    on_drop
        Called with each piece of work that is dropped, on the thread that takes.
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
        throughput: Throughput,
        on_drop: Callable[[Work, DropReason], None],
        starvation_seconds: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._mixed_batch_tokens = min(batch_tokens, mixed_batch_tokens)
        self._throughput = throughput
        self._on_drop = on_drop
        self._starvation_seconds = starvation_seconds
        self._clock = clock
        self._waiting = {lane: FairQueue() for lane in Lane}
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
        """Return the estimated tokens of a batch of `lane` at the moment; split a larger request before offering it."""
        mixed = lane is Lane.BULK and self._clock() - self._last_interactive_at < _INTERACTIVE_WINDOW_SECONDS
        return self._mixed_batch_tokens if mixed else self._batch_tokens

    def offer(self, parts: Sequence[Work], *, hold: bool = False) -> None:
        """Accept all parts of one request, or none of them.

        Parameters
        ----------
        parts
            The request.
        hold
            Whether `take` leaves interactive work, this included, in the queue for the moment. The caller must call
            `take_inline` or `release` soon.

        Raises
        ------
        UnavailableError
            If the queue is closed, the request's lane is full, or its source has its share of the lane.
        """
        lane = parts[0].lane
        tokens = parts[0].tokens if len(parts) == 1 else sum(part.tokens for part in parts)
        with self._changed:
            if self._closed:
                raise DrainingError("the server is draining", 0.0)
            waiting = self._tokens[lane]
            if waiting and waiting + tokens > self.max_tokens:
                reason = f"about {waiting} {lane.value} tokens wait, the limit is {self.max_tokens}"
                raise LaneFullError(reason, self._throughput.seconds_for(waiting))
            source, own_limit = parts[0].source, self.max_tokens // _SOURCE_SHARE
            own = self._waiting[lane].tokens(source) if source else 0
            if own and own + tokens > own_limit:
                reason = f"about {own} {lane.value} tokens of this connection wait, the limit is {own_limit}"
                raise LaneFullError(reason, self._throughput.seconds_for(own))
            now = self._clock()
            if lane is Lane.INTERACTIVE:
                self._last_interactive_at = now
            for part in parts:
                part.enqueued_at = now
            parts[-1].last = True
            self._waiting[lane].append(parts, tokens)
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

    def take_inline(self, max_tokens: int) -> list[Work]:
        """Return the next batch, without waiting, if a thread is idle in `take` and little interactive work waits.

        Otherwise return no work; a thread in `take` handles it, now or when it comes back.
        """
        with self._changed:
            self._held = False
            if not self._idle or not self._waiting[Lane.INTERACTIVE] or self._tokens[Lane.INTERACTIVE] > max_tokens:
                self._changed.notify()
                return []
            batch, dropped = self._next_batch()
            if any(self._waiting.values()):
                self._changed.notify()
        for work, reason in dropped:
            self._on_drop(work, reason)
        return batch

    def release(self) -> None:
        """Let `take` have the interactive work that was held."""
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
        starving = bool(bulk) and now - bulk.first().enqueued_at >= self._starvation_seconds
        return Lane.BULK if starving and self._last_taken is Lane.INTERACTIVE else Lane.INTERACTIVE

    def _next_batch(self) -> tuple[list[Work], list[tuple[Work, DropReason]]]:
        now = self._clock()
        lane = self._next_lane(now)
        waiting, budget = self._waiting[lane], self.budget(lane)
        batch: list[Work] = []
        dropped: list[tuple[Work, DropReason]] = []
        late: list[Work] = []
        tokens = 0
        while waiting:
            work = waiting.first()
            reason = self._unusable(work, now)
            fits = not batch or (work.group is batch[0].group and tokens + work.tokens <= budget)
            if reason is None and not fits:
                break
            waiting.pop()
            self._tokens[lane] -= work.tokens
            self._requests[lane] -= work.last
            if reason is not None:
                dropped.append((work, reason))
            elif self._out_of_reach(work, now):
                late.append(work)
            else:
                work.taken_at = now
                batch.append(work)
                tokens += work.tokens
        if late and not batch and not any(self._waiting.values()):
            # The model would be idle, and the estimate may be wrong: only work that is done can correct it.
            likeliest = max(late, key=_deadline)
            late.remove(likeliest)
            likeliest.taken_at = now
            batch.append(likeliest)
        dropped += [(work, DropReason.DEADLINE) for work in late]
        if batch:
            self._last_taken = lane
        return batch, dropped

    def _unusable(self, work: Work, now: float) -> DropReason | None:
        if work.cancelled:
            return DropReason.CANCELLED
        return DropReason.DEADLINE if now > _deadline(work) else None

    def _out_of_reach(self, work: Work, now: float) -> bool:
        return work.deadline is not None and now + self._throughput.seconds_for(work.tokens) > work.deadline


def _deadline(work: Work) -> float:
    return math.inf if work.deadline is None else work.deadline
