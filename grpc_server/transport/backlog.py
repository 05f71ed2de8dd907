"""The backlog of calls that wait inside gRPC, and pushback before gRPC drops any of them.

gRPC's core queues calls from the network until Python takes them, one every few turns of the event loop. Health checks,
health watches and all other calls have a queue each, with the same bound. Core resets a call over the bound: its caller
gets CANCELLED, without a message and without pushback, as if it had cancelled the call itself. So while many calls are
queued, those that are taken are refused with pushback, which costs much less than answering them.

gRPC's Python API does not tell how many calls are queued. Core counts the calls that began (channelz, which every gRPC
server has), and `Backlog` counts those that Python has taken. The difference also contains calls that will never be
taken: reset by core, or cancelled by their callers while they were queued. And it contains queued health checks, which
need no token; a flood of them must not cause refusals of other calls.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # missing in its types

from grpc_server.core.observer import BatchStats, CallEnded, CallStarted, Metadata, Method
from grpc_server.errors import UnavailableError

# A sample asks core for its count, which takes some 0.3 ms.
_CALLS_PER_SAMPLE = 256
_EQUAL_SAMPLES = 4
_VALID_SECONDS = 0.5
_RETRY_SECONDS = 0.5
_HEALTH = "grpc.health."
# If all three queues are full, a third of the calls taken are no health checks.
_MIN_OTHERS = 1 / 4


def calls_begun() -> int:
    """Return how many calls have begun at this process's server, by the count of gRPC's core."""
    listed = json.loads(cygrpc.channelz_get_servers(0))
    return sum(int(each["data"].get("callsStarted", 0)) for each in listed.get("server", ()))


class Backlog:
    """An observer that counts calls, and refuses calls while many others are queued in gRPC.

    Once in a few hundred calls it samples core's count and estimates the queued calls: the difference of the two
    counts, less the calls that are gone. Gone are at least those over the bound, and at most the whole difference. A
    difference that stays equal over several samples consists of gone calls, since queued calls are taken. An estimate
    is valid for half a second, so that an old one does not refuse calls on a quiet server.

    Python takes calls from the queues in turn. So if most calls taken are health checks, the queue of the other calls
    is empty most of the time.

    Parameters
    ----------
    max_queued
        Calls that core holds in one queue.
    begun
        Returns core's count of calls.
    clock
        Seconds.
    """

    def __init__(
        self, max_queued: int, begun: Callable[[], int] = calls_begun, clock: Callable[[], float] = monotonic
    ) -> None:
        self._max_queued = max_queued
        self._begun = begun
        self._clock = clock
        self._calls_per_sample = max(1, min(_CALLS_PER_SAMPLE, max_queued // 8))
        self._taken = begun()
        self._others_taken = 0
        self._gone = 0
        self._samples: deque[int] = deque(maxlen=_EQUAL_SAMPLES)
        self._refusing_until = -inf
        self._queued = 0

    def unseen(self) -> int:
        """Return how many calls have begun and were not taken by Python: they are queued, or gone."""
        return max(0, self._begun() - self._taken)

    def check(self) -> None:
        """Refuse a call while more than three quarters of the bound are queued.

        Raises
        ------
        UnavailableError
            With pushback.
        """
        if self._queued and self._clock() < self._refusing_until:
            raise UnavailableError(
                f"about {self._queued} calls are queued, the limit is {self._max_queued}", _RETRY_SECONDS
            )

    def method_served(self, method: Method) -> CallStarted:
        """Count each call of the method when it starts."""
        is_other = not method.service.startswith(_HEALTH)

        def started(_: Metadata) -> CallEnded:
            self._taken += 1
            self._others_taken += is_other
            if self._taken % self._calls_per_sample == 0:
                self._sample()
            return _ended

        return started

    def request_received(self, request_id: str, rows: int, lane: str) -> None:
        """Do nothing."""

    def batch_scored(self, stats: BatchStats) -> None:
        """Do nothing."""

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Do nothing."""

    def _sample(self) -> None:
        unseen = self.unseen()
        self._samples.append(unseen)
        if len(self._samples) == _EQUAL_SAMPLES and max(self._samples) - min(self._samples) <= self._max_queued // 16:
            self._gone = min(self._samples)
        self._gone = min(max(self._gone, unseen - self._max_queued), unseen)
        queued = unseen - self._gone
        others_wait = self._others_taken >= self._calls_per_sample * _MIN_OTHERS
        self._others_taken = 0
        self._queued = queued if queued > self._max_queued * 3 // 4 and others_wait else 0
        self._refusing_until = self._clock() + _VALID_SECONDS


def _ended(code: str, reason: str | None) -> None:
    pass
