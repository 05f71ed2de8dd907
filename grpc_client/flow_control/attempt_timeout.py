"""How long one attempt is waited for: as long as answers take here, not as long as a call may take at most.

A server that is frozen keeps its connection, so nothing but the missing answer gives it away. With a deadline of half a
minute every slot of a task would soon wait for it. The estimate is that of TCP's retransmission timer (RFC 6298):
smoothed round-trip time plus four times its smoothed deviation, doubled after each timeout of the same call; and never
less than twice the time itself.

Pure: no gRPC, no clock.
"""

from __future__ import annotations

_LEAST_SECONDS = 2.0
_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 4


class AdaptiveTimeout:
    """Seconds to wait for an attempt, learnt from those that were answered.

    Parameters
    ----------
    most_seconds
        Never wait longer; also the wait while nothing was answered yet. The wait is at least two seconds unless this is
        less.
    """

    def __init__(self, most_seconds: float) -> None:
        self._most_seconds = most_seconds
        self._mean_seconds: float | None = None
        self._deviation_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Take in how long an answer took; never more than an attempt may take, whoever stood still meanwhile."""
        seconds = min(seconds, self._most_seconds)
        if self._mean_seconds is None:
            self._mean_seconds, self._deviation_seconds = seconds, seconds / 2
        else:
            self._deviation_seconds += _DEVIATION_GAIN * (abs(self._mean_seconds - seconds) - self._deviation_seconds)
            self._mean_seconds += _MEAN_GAIN * (seconds - self._mean_seconds)

    def wait_seconds(self, timeouts: int) -> float:
        """Return the wait for a call of which so many attempts have timed out already."""
        if self._mean_seconds is None:
            return self._most_seconds
        expected = max(
            _LEAST_SECONDS, self._mean_seconds + max(self._mean_seconds, _DEVIATIONS * self._deviation_seconds)
        )
        return min(self._most_seconds, expected * 2.0 ** min(timeouts, 32))
