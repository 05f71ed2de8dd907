"""The limit on attempts in flight: additive increase, multiplicative decrease (AIMD).

TCP's congestion control (RFC 5681), applied to calls as in Netflix's concurrency-limits. The limit grows with answers
and is halved by overload: a refusal (UNAVAILABLE) or a missing answer (a deadline that passed). A slow answer is an
answer.

No gRPC, no threads and no clock here; `grpc_client.flow_control.limiter` adds them.
"""

from __future__ import annotations

_DECREASE = 0.5


class AimdLimit:
    """Additive increase, multiplicative decrease of the number of attempts in flight.

    - The limit begins at 1, so that a thousand cores that start in the same second send one call each.
    - A success raises it by 1 before the first decrease ("slow start": it doubles every round trip), and by
      `1 / limit` above half the old limit (1 every round trip); but only if the limit was used up after the attempt
      began: a higher concurrency than was used is not known to be safe.
    - A drop halves it, unless the attempt began before the last decrease: a round trip costs one decrease at most.

    Parameters
    ----------
    max_limit
        The limit stays from 1 to this.

    Examples
    --------
    >>> limit = AimdLimit(max_limit=8)
    >>> limit.on_success(limit.begin())
    >>> limit.current
    2
    >>> limit.on_dropped(limit.begin())
    >>> limit.current
    1
    """

    def __init__(self, max_limit: int) -> None:
        if max_limit < 1:
            raise ValueError(f"the limit must be at least 1, not {max_limit}")
        self._max_limit = max_limit
        self._exact = 1.0
        self._slow_start_below = float(max_limit)
        self._running = 0
        self._begun = 0
        self._first_since_decrease = 0
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

    def begin(self) -> int:
        """Count an attempt in, only while the limit `has_room`; return its number."""
        attempt = self._begun
        self._begun += 1
        self._running += 1
        if not self.has_room:
            self._last_to_fill = attempt
        return attempt

    def on_success(self, attempt: int) -> None:
        """Count out an attempt that was answered, whatever the answer says."""
        self._running -= 1
        if self._first_since_decrease <= attempt <= self._last_to_fill:
            step = 1.0 if self._exact < self._slow_start_below else 1.0 / self._exact
            self._exact = min(float(self._max_limit), self._exact + step)

    def on_dropped(self, attempt: int) -> None:
        """Count out an attempt that was refused for overload, or not answered in time."""
        self._running -= 1
        if attempt >= self._first_since_decrease:
            self._exact = max(1.0, self._exact * _DECREASE)
            self._slow_start_below = self._exact
            self._first_since_decrease = self._begun

    def on_ignore(self) -> None:
        """Count out an attempt that says nothing about the service's capacity."""
        self._running -= 1
