"""The concurrency limiter: keeps the attempts of one process that are in flight below the AIMD limit."""

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
# A wait that ends this much too late was not the lock's doing: the process was stopped.
_PAUSE_SECONDS = 1.0


class Outcome(Enum):
    """What an attempt says about the service's capacity."""

    SUCCESS = "success"
    DROPPED = "dropped"
    IGNORED = "ignored"


class Permit:
    """The permit of one attempt; its holder sets the outcome.

    Attributes
    ----------
    outcome
        How the attempt ended.
    paused_seconds
        Seconds that this process did not run while the attempt waited for the permit.
    """

    outcome = Outcome.IGNORED
    paused_seconds = 0.0


class ConcurrencyLimiter:
    """Grants permits while the limit has room; safe to use from many threads.

    Permits are granted in the order of the tickets. A call takes one ticket for all its attempts, so that new calls do
    not overtake one that is repeated. A call that must be alone waits until nothing else runs, and holds back the rest.

    Parameters
    ----------
    limit
        Moved by the outcomes.
    """

    def __init__(self, limit: AimdLimit) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._waiting: list[int] = []
        self._exclusive = False

    def ticket(self) -> int:
        """Return the next place in the order, for a new call."""
        return next(self._tickets)

    @contextmanager
    def permit(self, ticket: int, stop: threading.Event, *, alone: bool = False) -> Iterator[Permit]:
        """Wait for a permit, hold it in the block, and report its outcome to the limit.

        Raises
        ------
        ClientClosedError
            If `stop` is set during the wait.
        """
        permit = Permit()
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                while not self._may_start(ticket, alone):
                    if stop.is_set():
                        raise ClientClosedError("the call was given up while it waited for a permit")
                    began = time.monotonic()
                    self._changed.wait(_POLL_SECONDS)
                    late = time.monotonic() - began - _POLL_SECONDS
                    permit.paused_seconds += late if late > _PAUSE_SECONDS else 0.0
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
            attempt = self._limit.begin()
            self._exclusive = alone
        try:
            yield permit
        finally:
            with self._changed:
                if alone:
                    self._exclusive = False
                match permit.outcome:
                    case Outcome.SUCCESS:
                        self._limit.on_success(attempt)
                    case Outcome.DROPPED:
                        self._limit.on_dropped(attempt)
                    case Outcome.IGNORED:
                        self._limit.on_ignore()
                self._changed.notify_all()

    def _may_start(self, ticket: int, alone: bool) -> bool:
        if self._waiting[0] != ticket or self._exclusive:
            return False
        return self._limit.running == 0 if alone else self._limit.has_room
