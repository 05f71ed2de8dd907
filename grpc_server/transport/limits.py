"""What bounds the memory of calls: a budget of bytes for those taken in, and places for messages still on their way.

Both are for one event loop and know nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grpc_server.errors import DeadlineError, DrainingError, UnavailableError

Message = TypeVar("Message")

# What a call in progress costs beside its message: its task, its context, and what gRPC keeps for a stream.
CALL_BYTES = 32 << 10
# A header, which may be as short as a letter: what gRPC and Python keep of it (measured: 480 take 130 KiB).
HEADER_BYTES = 256
# The message of a method that takes no texts: names, ids and versions.
SMALL_MESSAGE_BYTES = 1 << 10
RETRY_SECONDS = 0.5
_DRAINING = "the server is draining"


class MemoryBudget:
    """Bytes that the calls in progress may hold together.

    Parameters
    ----------
    most
        The budget.

    Attributes
    ----------
    taken
        Bytes in use.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._emptied: asyncio.Future[None] | None = None
        self.taken = 0

    def take(self, count: int) -> int:
        """Hold `count` bytes more, and return `count`; they are given back by `give_back`.

        Raises
        ------
        UnavailableError
            If they do not fit.
        """
        if self.taken + count > self._most:
            raise UnavailableError(
                f"calls hold {self.taken} bytes and {count} more do not fit, the limit is {self._most}", RETRY_SECONDS
            )
        self.taken += count
        return count

    def give_back(self, count: int) -> None:
        """Hold `count` bytes less."""
        self.taken -= count
        if not self.taken and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def empty(self) -> None:
        """Wait until nothing is held; for one waiter at a time."""
        while self.taken:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied


class Holding:
    """What one call holds of a budget, from its first byte until gRPC is done with it.

    Attributes
    ----------
    count
        Bytes held.
    """

    __slots__ = ("_budget", "_call_bytes", "count")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._call_bytes = 0
        self.count = 0

    def enter(self, headers: int) -> None:
        """Hold what a call of so many headers costs before it has sent a message.

        Raises
        ------
        UnavailableError
            If it does not fit.
        """
        self._call_bytes = self.count = self._budget.take(CALL_BYTES + headers * HEADER_BYTES)

    def keep(self, message_bytes: int) -> None:
        """Hold so many bytes beside what the call itself costs, no more and no less.

        Raises
        ------
        UnavailableError
            If that is more than before and does not fit; then nothing changes.
        """
        count = self._call_bytes + message_bytes
        if count > self.count:
            self._budget.take(count - self.count)
        else:
            self._budget.give_back(self.count - count)
        self.count = count

    def give_back(self, *_: object) -> None:
        """Hold nothing; fit for gRPC's callbacks."""
        self._budget.give_back(self.count)
        self.count = self._call_bytes = 0


class _Receive:
    """A message on its way, or waiting for a place."""

    __slots__ = ("cancelling", "given_up", "place", "since", "task")

    def __init__(self, task: asyncio.Task[object], since: float) -> None:
        self.task = task
        self.since = since
        self.cancelling = task.cancelling()
        self.given_up = False
        self.place: asyncio.Future[None] | None = None

    def give_up(self) -> None:
        """End the wait for it, whatever it waits for."""
        if not self.given_up:
            self.given_up = True
            self.task.cancel()


class ReceiveSlots:
    """Messages on their way in: so many at a time, each within a time, and none at its leisure while others wait.

    A message that is announced but does not come holds memory for what has come, and a place. If every place is taken,
    the message that has been coming for longest is given up, once it had `patience` seconds: an honest one takes
    milliseconds. The newest waits least, for the oldest of a crowd of waiters are those that can least be in earnest.

    A message that finds a place costs no timer: one timer watches the oldest of all.

    Parameters
    ----------
    places
        Messages that may be on their way at a time.
    seconds
        Time for one message, the wait for a place included.
    patience
        Seconds that a message has before it may be given up for another.
    waiting
        Calls that may wait for a place; more are refused.
    first_come
        Whether the oldest that waits is let in first. Then each gets its place after a time that those who come later
        cannot lengthen.

    Attributes
    ----------
    coming
        Messages on their way.
    newest
        When the newest message began to come, in the loop's time.
    """

    def __init__(
        self,
        places: int,
        seconds: float,
        *,
        patience: float = 1.0,
        waiting: int | None = None,
        first_come: bool = False,
    ) -> None:
        self._places = places
        self._seconds = seconds
        self._patience = patience
        self._most_waiting = places * 16 if waiting is None else waiting
        self._next = 0 if first_come else -1
        self._closed = False
        self.coming = 0
        self.newest = -math.inf
        # In the order in which they began; the values of those coming are when they got their place.
        self._open: dict[_Receive, None] = {}
        self._coming: dict[_Receive, float] = {}
        self._waiting: list[_Receive] = []
        self._late_timer: asyncio.TimerHandle | None = None
        self._place_timer: asyncio.TimerHandle | None = None

    async def receive(self, read: Callable[[], Awaitable[Message]]) -> Message:
        """Wait for a place, then for the message.

        Raises
        ------
        UnavailableError
            If too many calls wait already, or the arrivals are closed.
        DeadlineError
            If the message did not come in time.
        """
        if self._closed:
            raise DrainingError(_DRAINING, 0.0)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.newest = loop.time()
        arrival = _Receive(task, self.newest)
        self._open[arrival] = None
        self.coming += 1
        if self._late_timer is None:
            self._late_timer = loop.call_at(arrival.since + self._seconds, self._give_up_late)
        try:
            if len(self._coming) < self._places:
                self._coming[arrival] = arrival.since
            else:
                await self._wait_for_place(arrival, loop)
            return await read()
        except asyncio.CancelledError:
            # As `asyncio.timeout` does it: another's cancellation, at the same time, goes on.
            if arrival.given_up and task.uncancel() <= arrival.cancelling:
                if self._closed:
                    raise DrainingError(_DRAINING, 0.0) from None
                raise DeadlineError("the request's message did not arrive in time") from None
            raise
        finally:
            del self._open[arrival]
            self.coming -= 1
            if self._coming.pop(arrival, None) is not None and self._waiting:
                self._admit_next(loop)

    def close(self) -> None:
        """Return up every message on its way, and refuse those to come: they would be answered by nobody."""
        self._closed = True
        for arrival in tuple(self._open):
            arrival.give_up()

    async def _wait_for_place(self, arrival: _Receive, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) >= self._most_waiting:
            raise UnavailableError("too many requests are on their way", RETRY_SECONDS)
        arrival.place = loop.create_future()
        self._waiting.append(arrival)
        self._watch_oldest(loop)
        try:
            await arrival.place
        finally:
            if arrival in self._waiting:
                self._waiting.remove(arrival)

    def _admit_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            arrival = self._waiting.pop(self._next)
            if arrival.place is not None and not arrival.place.done():
                self._coming[arrival] = loop.time()
                arrival.place.set_result(None)
                return

    def _give_up_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._late_timer = None
        for arrival in self._open:
            due = arrival.since + self._seconds
            if due > loop.time():
                self._late_timer = loop.call_at(due, self._give_up_late)
                return
            arrival.give_up()

    def _watch_oldest(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._place_timer is None and self._waiting and self._coming:
            since = next(iter(self._coming.values()))
            self._place_timer = loop.call_at(since + self._patience, self._give_up_oldest)

    def _give_up_oldest(self) -> None:
        loop = asyncio.get_running_loop()
        self._place_timer = None
        if self._waiting and self._coming:
            arrival, since = next(iter(self._coming.items()))
            if loop.time() - since >= self._patience:
                del self._coming[arrival]
                arrival.give_up()
                self._admit_next(loop)
        self._watch_oldest(loop)
