"""Limits on the memory of calls: a budget of bytes for admitted calls, and slots for messages being received.

Both are for one event loop and do not depend on gRPC.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grpc_server.errors import DeadlineError, DrainingError, UnavailableError

Message = TypeVar("Message")

# The cost of a call in progress beside its message: its task, its context, and gRPC's state of a stream.
CALL_BYTES = 32 << 10
# The cost of one header, even of one byte, in gRPC and Python (measured: 480 take 130 KiB).
HEADER_BYTES = 256
# The largest message of a method that takes no texts: names, ids and versions.
SMALL_MESSAGE_BYTES = 1 << 10
RETRY_SECONDS = 0.5
# While as many calls wait as there are slots, a message has a fifth of its time, and never less than the second number.
_SHORTENING = 4
_MIN_PATIENCE_SECONDS = 0.1
_DRAINING = "the server is draining"


class MemoryBudget:
    """Bytes that the calls in progress may hold together.

    Parameters
    ----------
    max_bytes
        The budget.

    Attributes
    ----------
    taken
        Bytes in use.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._emptied: asyncio.Future[None] | None = None
        self.taken = 0

    def take(self, count: int) -> int:
        """Reserve `count` bytes and return `count`; `give_back` frees them.

        Raises
        ------
        UnavailableError
            If they do not fit.
        """
        if self.taken + count > self._max_bytes:
            raise UnavailableError(
                f"calls hold {self.taken} bytes and {count} more do not fit, the limit is {self._max_bytes}",
                RETRY_SECONDS,
            )
        self.taken += count
        return count

    def give_back(self, count: int) -> None:
        """Free `count` bytes."""
        self.taken -= count
        if not self.taken and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def empty(self) -> None:
        """Wait until nothing is reserved; for one waiter at a time."""
        while self.taken:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied


class Reservation:
    """The bytes of a budget that one call holds, from its start until gRPC has sent its answer.

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
        """Reserve the cost of a call with that many headers, before it has sent a message.

        Raises
        ------
        UnavailableError
            If it does not fit.
        """
        self._call_bytes = self.count = self._budget.take(CALL_BYTES + headers * HEADER_BYTES)

    def resize(self, message_bytes: int) -> None:
        """Reserve exactly `message_bytes` beside the cost of the call itself.

        Raises
        ------
        UnavailableError
            If that is more than before and does not fit; the reservation is then unchanged.
        """
        count = self._call_bytes + message_bytes
        if count > self.count:
            self._budget.take(count - self.count)
        else:
            self._budget.give_back(self.count - count)
        self.count = count

    def release(self, *_: object) -> None:
        """Free everything; takes the arguments of gRPC's callbacks."""
        self._budget.give_back(self.count)
        self.count = self._call_bytes = 0


class _Receive:
    """A message that is being received, or waits for a slot."""

    __slots__ = ("abandoned", "cancelling", "since", "slot", "task")

    def __init__(self, task: asyncio.Task[object], since: float) -> None:
        self.task = task
        self.since = since
        self.cancelling = task.cancelling()
        self.abandoned = False
        self.slot: asyncio.Future[None] | None = None

    def abandon(self) -> None:
        """Cancel the wait, for a slot or for the message."""
        if not self.abandoned:
            self.abandoned = True
            self.task.cancel()


class ReceiveSlots:
    """Slots for receiving messages: a bound on their number and on the time of each.

    A message that is sent slowly occupies a slot, and memory for the part that has arrived. When all slots are taken
    and calls wait for one, the longest-running receive is cancelled after `patience` seconds; an honest message takes
    milliseconds. The more calls wait, the shorter this time becomes (`_MIN_PATIENCE_SECONDS` at the least), and the
    oldest waiter gets a freed slot. So the rate of slow senders hardly lengthens the wait of an honest one.

    A message that finds a free slot needs no timer of its own: one timer watches the oldest message.

    Parameters
    ----------
    slots
        Messages that may be received at a time.
    seconds
        Time for one message, the wait for a slot included.
    patience
        Seconds that a message has before it may be cancelled in favour of one other.
    max_waiting
        Calls that may wait for a slot; more are refused.

    Attributes
    ----------
    pending
        Messages that are being received or wait for a slot.
    newest_at
        When the newest of them began, in the loop's time.
    """

    def __init__(self, slots: int, seconds: float, *, patience: float = 1.0, max_waiting: int | None = None) -> None:
        self._slots = slots
        self._seconds = seconds
        self._patience = patience
        self._max_waiting = slots * 16 if max_waiting is None else max_waiting
        self._closed = False
        self.pending = 0
        self.newest_at = -math.inf
        # In the order in which they began; the values are the times at which they got their slot.
        self._all: dict[_Receive, None] = {}
        self._receiving: dict[_Receive, float] = {}
        self._waiting: dict[_Receive, None] = {}
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._patience_timer: asyncio.TimerHandle | None = None

    async def receive(self, read: Callable[[], Awaitable[Message]]) -> Message:
        """Wait for a slot, then for the message.

        Raises
        ------
        UnavailableError
            If too many calls wait already, or the slots are closed.
        DeadlineError
            If the message did not arrive in time.
        """
        if self._closed:
            raise DrainingError(_DRAINING, 0.0)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.newest_at = loop.time()
        receive = _Receive(task, self.newest_at)
        self._all[receive] = None
        self.pending += 1
        if self._deadline_timer is None:
            self._deadline_timer = loop.call_at(receive.since + self._seconds, self._abandon_late)
        try:
            if len(self._receiving) < self._slots:
                self._receiving[receive] = receive.since
            else:
                await self._wait_for_slot(receive, loop)
            return await read()
        except asyncio.CancelledError:
            # As in `asyncio.timeout`: a cancellation from elsewhere at the same time still propagates.
            if receive.abandoned and task.uncancel() <= receive.cancelling:
                if self._closed:
                    raise DrainingError(_DRAINING, 0.0) from None
                raise DeadlineError("the request's message did not arrive in time") from None
            raise
        finally:
            del self._all[receive]
            self.pending -= 1
            if self._receiving.pop(receive, None) is not None and self._waiting:
                self._admit_next(loop)

    def close(self) -> None:
        """Cancel every receive and refuse new ones: the server is about to end and would not answer them."""
        self._closed = True
        for receive in tuple(self._all):
            receive.abandon()

    async def _wait_for_slot(self, receive: _Receive, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise UnavailableError("too many requests are being received", RETRY_SECONDS)
        receive.slot = loop.create_future()
        self._waiting[receive] = None
        self._watch_oldest(loop)
        try:
            await receive.slot
        finally:
            self._waiting.pop(receive, None)

    def _admit_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            receive = next(iter(self._waiting))
            del self._waiting[receive]
            if receive.slot is not None and not receive.slot.done():
                self._receiving[receive] = loop.time()
                receive.slot.set_result(None)
                return

    def _abandon_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline_timer = None
        for receive in self._all:
            due = receive.since + self._seconds
            if due > loop.time():
                self._deadline_timer = loop.call_at(due, self._abandon_late)
                return
            receive.abandon()

    def _oldest_due(self) -> tuple[_Receive, float]:
        """Return the longest-running receive, and the loop's time from which on it may be cancelled."""
        receive, since = next(iter(self._receiving.items()))
        shortened = self._patience / (1 + _SHORTENING * len(self._waiting) / self._slots)
        return receive, since + max(shortened, min(self._patience, _MIN_PATIENCE_SECONDS))

    def _watch_oldest(self, loop: asyncio.AbstractEventLoop) -> None:
        if not (self._waiting and self._receiving):
            return
        _, due = self._oldest_due()
        if self._patience_timer is not None:
            if self._patience_timer.when() <= due:
                return
            self._patience_timer.cancel()
        self._patience_timer = loop.call_at(due, self._judge_oldest)

    def _judge_oldest(self) -> None:
        # After a pause of the process, messages that have arrived are delivered first.
        asyncio.get_running_loop().call_soon(self._abandon_oldest)

    def _abandon_oldest(self) -> None:
        loop = asyncio.get_running_loop()
        self._patience_timer = None
        if self._waiting and self._receiving:
            receive, due = self._oldest_due()
            if loop.time() >= due:
                del self._receiving[receive]
                receive.abandon()
                self._admit_next(loop)
        self._watch_oldest(loop)
