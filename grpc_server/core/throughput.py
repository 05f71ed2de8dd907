"""How fast the model works off tokens, learnt from the batches it has done.

An estimate on which work is dropped must not outlive its cause: a pause of the whole process (a frozen machine, a spent
CPU quota) looks like a slow batch. So it is the median of the last few batches, in which a single pause counts for
nothing; it is forgotten when no batch has confirmed it for a while; and the queue never lets the model stand idle
because of it, so that there is always a next batch to learn from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median_low
from time import monotonic
from typing import Final

# Batches remembered; how many it takes to promise anything; how long they are believed without a new one.
_BATCHES: Final = 9
_LEAST_BATCHES: Final = 3
_BELIEVED_SECONDS: Final = 60.0
# What a batch costs by itself, in tokens: without it, single pairs would make large batches look hopeless.
_BATCH_TOKENS: Final = 64


class ThroughputEstimator:
    """The median of the last batches' seconds per token.

    Until a few batches are done it promises nothing: `seconds_for` is 0, so no deadline is declared out of reach by
    guess.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._samples: deque[float] = deque(maxlen=_BATCHES)
        self._newest = 0.0
        self._median: float | None = None

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from a batch of `tokens` that took `seconds`."""
        now = self._clock()
        if now - self._newest > _BELIEVED_SECONDS:
            self._samples.clear()
        self._newest = now
        self._samples.append(seconds / (tokens + _BATCH_TOKENS))
        self._median = None

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to work off `tokens`, in seconds."""
        samples = list(self._samples)
        if len(samples) < _LEAST_BATCHES or self._clock() - self._newest > _BELIEVED_SECONDS:
            return 0.0
        if self._median is None:
            self._median = median_low(samples)
        return (tokens + _BATCH_TOKENS) * self._median
