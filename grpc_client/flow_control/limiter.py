"""The gate that every attempt of a process passes: it keeps the attempts in flight below the limit."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from grpc_client.errors import ClientClosedError
from grpc_client.flow_control.aimd import AimdLimit

_POLL_SECONDS = 0.1
# A wait that ends later than this was not the lock's doing: the process was stopped.
_PAUSE_SECONDS = 1.0


class Outcome(Enum):
    """What an attempt says about the room at the other side."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Permit:
    """One attempt's way through the gate; whoever makes it notes how it ended.

    Attributes
    ----------
    paused_seconds
        How long this process did not run while the attempt waited for its turn.
    """

    outcome = Outcome.UNKNOWN
    paused_seconds = 0.0


class ConcurrencyLimiter:
    """Lets attempts through while the limit has room; safe to use from many threads.

    Calls are let through in the order in which they took their `turn`, so that a call that is repeated is not overtaken
    for ever by new ones. A call that asks to be alone waits until nothing else runs, and holds back the rest.

    Parameters
    ----------
    limit
        Moved by how the attempts end.
    """

    def __init__(self, limit: AimdLimit) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._turns = itertools.count()
        self._waiting: list[int] = []
        self._someone_alone = False

    def turn(self) -> int:
        """Return a call its place in the order."""
        return next(self._turns)

    @contextmanager
    def passage(self, turn: int, stop: threading.Event, *, alone: bool = False) -> Iterator[Permit]:
        """Wait for room, count the attempt in, and count it out by the outcome that was noted.

        Raises
        ------
        ClientClosedError
            If `stop` is set while it waits.
        """
        passage = Permit()
        with self._changed:
            heapq.heappush(self._waiting, turn)
            try:
                while not self._may_pass(turn, alone):
                    if stop.is_set():
                        raise ClientClosedError("the call was given up while it waited for its turn")
                    began = time.monotonic()
                    self._changed.wait(_POLL_SECONDS)
                    late = time.monotonic() - began - _POLL_SECONDS
                    passage.paused_seconds += late if late > _PAUSE_SECONDS else 0.0
            finally:
                self._waiting.remove(turn)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
            ticket = self._limit.begin()
            self._someone_alone = alone
        try:
            yield passage
        finally:
            with self._changed:
                if alone:
                    self._someone_alone = False
                if passage.outcome is Outcome.ANSWERED:
                    self._limit.answered(ticket)
                elif passage.outcome is Outcome.REFUSED:
                    self._limit.refused(ticket)
                else:
                    self._limit.abandoned()
                self._changed.notify_all()

    def _may_pass(self, turn: int, alone: bool) -> bool:
        if self._waiting[0] != turn or self._someone_alone:
            return False
        return self._limit.running == 0 if alone else self._limit.has_room
