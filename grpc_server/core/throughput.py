"""How fast the model processes tokens, estimated from its recent batches.

Work is dropped on this estimate, so it must recover from a pause of the whole process (a frozen machine, a spent CPU
quota), which looks like a slow batch. Therefore:

- It is a median of the last few batches, which a single pause does not move.
- It expires when no batch has confirmed it for a while.
- The queue never leaves the model idle because of it, so there is always a next batch to learn from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median_low
from time import monotonic
from typing import Final

# Batches in the median; batches needed for an estimate; how long an estimate is valid without a new batch.
_BATCHES: Final = 9
_MIN_BATCHES: Final = 3
_VALID_SECONDS: Final = 60.0
# The fixed cost of a batch, in tokens. Without it, the rate of single pairs would make large batches look too slow.
_BATCH_OVERHEAD_TOKENS: Final = 64


class ThroughputEstimator:
    """The median of the last batches' seconds per token.

    Until a few batches are done there is no estimate: `seconds_for` returns 0, so no work is dropped on it.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._samples: deque[float] = deque(maxlen=_BATCHES)
        self._newest_at = 0.0
        self._median: float | None = None

    def observe(self, tokens: int, seconds: float) -> None:
        """Record a batch of `tokens` that took `seconds`."""
        now = self._clock()
        if now - self._newest_at > _VALID_SECONDS:
            self._samples.clear()
        self._newest_at = now
        self._samples.append(seconds / (tokens + _BATCH_OVERHEAD_TOKENS))
        self._median = None

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to process `tokens`, in seconds."""
        samples = list(self._samples)
        if len(samples) < _MIN_BATCHES or self._clock() - self._newest_at > _VALID_SECONDS:
            return 0.0
        if self._median is None:
            self._median = median_low(samples)
        return (tokens + _BATCH_OVERHEAD_TOKENS) * self._median
