"""How many calls may be in flight: a limit that finds the service's capacity by itself.

The idea is TCP's congestion control (RFC 5681), which Netflix's concurrency-limits brought to calls: grow while all
goes well, by leaps at first and by one a round trip later; halve when the other side says that it is too much. What
says so is a refusal (UNAVAILABLE) or silence (a deadline that passed), nothing else: a slow answer is an answer.

This module knows neither gRPC nor threads nor a clock; `grpc_client.flow_control.limiter` puts it to work.
"""

from __future__ import annotations

_SHRINK = 0.5

Ticket = int
"""An attempt: how many began before it."""


class AimdLimit:
    """Additive increase, multiplicative decrease (AIMD) of the number of attempts in flight.

    - It begins at one: a thousand cores that start in the same second knock once each.
    - An answered attempt raises it, by one before the first decrease ("slow start": it doubles every round trip), by
      `1 / limit` from half the old limit on (one every round trip); but only if the limit was used up since the
      attempt began: what was not tried is not known to be safe.
    - A refused attempt halves it, unless it began before the last decrease: all that was in flight then says the same
      thing once more, so that a round trip costs one decrease at most.

    Parameters
    ----------
    most
        The limit never exceeds this (1 or more), and is never less than 1.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"the limit needs room for at least 1, not {most}")
        self._most = most
        self._exact = 1.0
        self._threshold = float(most)
        self._running = 0
        self._begun = 0
        self._first_to_count = 0
        self._last_to_fill = -1

    @property
    def current(self) -> int:
        """Attempts that may be in flight now."""
        return int(self._exact)

    @property
    def running(self) -> int:
        """Attempts that are in flight now."""
        return self._running

    @property
    def has_room(self) -> bool:
        """Whether another attempt may begin."""
        return self._running < self.current

    def begin(self) -> Ticket:
        """Count an attempt in; only while there `has_room`."""
        ticket = self._begun
        self._begun += 1
        self._running += 1
        if not self.has_room:
            self._last_to_fill = ticket
        return ticket

    def answered(self, ticket: Ticket) -> None:
        """Count an attempt out that was answered, well or badly."""
        self._running -= 1
        if self._first_to_count <= ticket <= self._last_to_fill:
            step = 1.0 if self._exact < self._threshold else 1.0 / self._exact
            self._exact = min(float(self._most), self._exact + step)

    def refused(self, ticket: Ticket) -> None:
        """Count an attempt out that was refused for lack of room, or not answered in time."""
        self._running -= 1
        if ticket >= self._first_to_count:
            self._exact = max(1.0, self._exact * _SHRINK)
            self._threshold = self._exact
            self._first_to_count = self._begun

    def abandoned(self) -> None:
        """Count an attempt out that says nothing about the service."""
        self._running -= 1
