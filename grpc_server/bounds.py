"""What bounds the memory of calls: a budget of bytes for those taken in, and places for messages still on their way.

Both are for one event loop and know nothing of gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from grpc_server.errors import DeadlineError, UnavailableError

Message = TypeVar("Message")

# What a call in progress costs beside its message: its task, its context, and what gRPC keeps for a stream.
CALL_BYTES = 32 << 10
_RETRY_SECONDS = 0.5


class ByteBudget:
    """Bytes that the calls in progress may hold together.

    Parameters
    ----------
    most
        The budget.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def taken(self) -> int:
        """Bytes in use."""
        return self._taken

    @contextmanager
    def charge(self, count: int) -> Iterator[None]:
        """Hold ``count`` bytes of the budget.

        Raises
        ------
        UnavailableError
            If they do not fit.
        """
        if self._taken + count > self._most:
            raise UnavailableError(
                f"calls hold {self._taken} bytes and {count} more do not fit, the limit is {self._most}", _RETRY_SECONDS
            )
        self._taken += count
        try:
            yield
        finally:
            self._taken -= count


class Arrivals:
    """Messages on their way in: so many at a time, each within a time, and none at its leisure while others wait.

    A message that is announced but does not come holds memory for what has come, and a place. If every place is taken,
    the message that has been coming for longest is given up, once it had ``patience`` seconds: an honest one takes
    milliseconds. The newest waits least, for the oldest of a crowd of waiters are those that can least be in earnest.

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
    """

    def __init__(self, places: int, seconds: float, *, patience: float = 1.0, waiting: int | None = None) -> None:
        self._places = places
        self._seconds = seconds
        self._patience = patience
        self._most_waiting = places * 16 if waiting is None else waiting
        self._coming: dict[asyncio.Timeout, float] = {}
        self._waiting: list[tuple[asyncio.Timeout, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def receive(self, read: Callable[[], Awaitable[Message]]) -> Message:
        """Wait for a place, then for the message.

        Raises
        ------
        UnavailableError
            If too many calls wait already.
        DeadlineError
            If the message did not come in time.
        """
        try:
            async with asyncio.timeout(self._seconds) as limit:
                try:
                    await self._enter(limit)
                    return await read()
                finally:
                    self._leave(limit)
        except TimeoutError:
            raise DeadlineError("the request's message did not arrive in time") from None

    async def _enter(self, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        if len(self._coming) < self._places:
            self._coming[limit] = loop.time()
            return
        if len(self._waiting) >= self._most_waiting:
            raise UnavailableError("too many requests are on their way", _RETRY_SECONDS)
        turn: asyncio.Future[None] = loop.create_future()
        waiter = (limit, turn)
        self._waiting.append(waiter)
        self._watch_oldest()
        try:
            await turn
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _leave(self, limit: asyncio.Timeout) -> None:
        if self._coming.pop(limit, None) is not None:
            self._admit_newest()

    def _admit_newest(self) -> None:
        while self._waiting:
            limit, turn = self._waiting.pop()
            if not turn.done():
                self._coming[limit] = asyncio.get_running_loop().time()
                turn.set_result(None)
                return

    def _watch_oldest(self) -> None:
        if self._timer is None and self._waiting and self._coming:
            since = next(iter(self._coming.values()))
            self._timer = asyncio.get_running_loop().call_at(since + self._patience, self._give_up_oldest)

    def _give_up_oldest(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        if self._waiting and self._coming:
            limit, since = next(iter(self._coming.items()))
            if now - since >= self._patience:
                del self._coming[limit]
                limit.reschedule(now)
                self._admit_newest()
        self._watch_oldest()
