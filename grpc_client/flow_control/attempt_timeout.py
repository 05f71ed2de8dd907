"""The timeout of one attempt, from the times that answers take.

A frozen server keeps its connection, so that only the missing answer gives it away. With a deadline of half a minute
every slot of a task would soon wait for it. The estimate is that of TCP's retransmission timer (RFC 6298): smoothed
round-trip time plus four times its smoothed deviation, doubled after each timeout of the same call; and never less than
twice the smoothed time.

No gRPC and no clock here.
"""

from __future__ import annotations

_MIN_SECONDS = 2.0
_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 4


class AdaptiveTimeout:
    """Timeout of an attempt, estimated from the attempts that were answered.

    Parameters
    ----------
    max_seconds
        Longest timeout, and the timeout until the first answer. The shortest is two seconds, unless this is less.

    Examples
    --------
    >>> timeout = AdaptiveTimeout(max_seconds=30.0)
    >>> timeout.timeout_seconds(0)
    30.0
    >>> timeout.observe(0.1)
    >>> [timeout.timeout_seconds(timeouts) for timeouts in (0, 1, 2)]
    [2.0, 4.0, 8.0]
    """

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._mean_seconds: float | None = None
        self._deviation_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Take in the time of an answer, at most `max_seconds`: more means that this process was stopped meanwhile."""
        seconds = min(seconds, self._max_seconds)
        if self._mean_seconds is None:
            self._mean_seconds, self._deviation_seconds = seconds, seconds / 2
        else:
            self._deviation_seconds += _DEVIATION_GAIN * (abs(self._mean_seconds - seconds) - self._deviation_seconds)
            self._mean_seconds += _MEAN_GAIN * (seconds - self._mean_seconds)

    def timeout_seconds(self, timeouts: int) -> float:
        """Return the timeout of the next attempt of a call, of which `timeouts` attempts have timed out."""
        if self._mean_seconds is None:
            return self._max_seconds
        margin = max(self._mean_seconds, _DEVIATIONS * self._deviation_seconds)
        expected = max(_MIN_SECONDS, self._mean_seconds + margin)
        return min(self._max_seconds, expected * 2.0 ** min(timeouts, 32))
