"""How many calls wait inside gRPC for the event loop to take them, and pushback before gRPC drops them.

gRPC's core holds the calls that have come over the network until Python asks for the next one, and Python asks once in
a few turns of the event loop. Core holds so many calls of a method; one more is reset, and its caller is told
CANCELLED without a word: no pushback, and for a caller that knows the status codes a word that it said itself. So calls
that are taken while many wait are refused with a time to come back, which costs much less than to answer them.

Python is not told how many wait. Core counts the calls that began (channelz, which is on in every gRPC server), and
`Backlog` counts those that it has seen; but the difference also holds the calls that nobody will ever see: reset
by core, or left by their callers while they waited.
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

# A look asks core, which takes some 0.3 ms.
_CALLS_PER_LOOK = 256
_LOOKS_ALIKE = 4
_BELIEVED_SECONDS = 0.5
_RETRY_SECONDS = 0.5


def calls_begun() -> int:
    """Return how many calls gRPC's core has taken in for this process's server, by core's own count."""
    listed = json.loads(cygrpc.channelz_get_servers(0))
    return sum(int(each["data"].get("callsStarted", 0)) for each in listed.get("server", ()))


class Backlog:
    """An observer that counts the calls it sees, and refuses calls while many others wait in gRPC.

    It asks core once in a few hundred calls and estimates those that wait: the difference of the two counts, less the
    calls that are gone. These are at least those beyond what may wait, and at most the whole difference; and a
    difference that stays the same from look to look is theirs, since calls that wait are taken. A verdict is believed
    for half a second, so that a server at which few calls come is not shut by an old one.

    Parameters
    ----------
    most
        Calls of one method that core lets wait.
    begun
        Tells core's count.
    clock
        Seconds.
    """

    def __init__(
        self, most: int, begun: Callable[[], int] = calls_begun, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most = most
        self._begun = begun
        self._clock = clock
        self._calls_per_look = max(1, min(_CALLS_PER_LOOK, most // 8))
        self._seen = begun()
        self._gone = 0
        self._last: deque[int] = deque(maxlen=_LOOKS_ALIKE)
        self._refusing_until = -inf
        self._waiting = 0

    def unseen(self) -> int:
        """Return how many calls core has taken in and the service has not seen: they wait, or are gone."""
        return max(0, self._begun() - self._seen)

    def check(self) -> None:
        """Refuse a call while more than three quarters as many wait as may.

        Raises
        ------
        UnavailableError
            With a time to come back.
        """
        if self._waiting and self._clock() < self._refusing_until:
            raise UnavailableError(
                f"about {self._waiting} calls wait to be taken in, {self._most} of a method may", _RETRY_SECONDS
            )

    def method_served(self, method: Method) -> CallStarted:  # noqa: ARG002
        """Count each call of the method when it starts."""
        return self._started

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Do nothing."""

    def batch_scored(self, report: BatchStats) -> None:
        """Do nothing."""

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Do nothing."""

    def _started(self, _: Metadata) -> CallEnded:
        self._seen += 1
        if self._seen % self._calls_per_look == 0:
            self._look()
        return _ended

    def _look(self) -> None:
        unseen = self.unseen()
        self._last.append(unseen)
        if len(self._last) == _LOOKS_ALIKE and max(self._last) - min(self._last) <= self._most // 16:
            self._gone = min(self._last)
        self._gone = min(max(self._gone, unseen - self._most), unseen)
        waiting = unseen - self._gone
        self._waiting = waiting if waiting > self._most * 3 // 4 else 0
        self._refusing_until = self._clock() + _BELIEVED_SECONDS


def _ended(code: str, reason: str | None) -> None:
    pass
