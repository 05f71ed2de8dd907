"""Whether small batches have been fast enough to be scored on the event loop."""

from __future__ import annotations

from collections import deque
from typing import Final

# Batches up to this many tokens may run on the event loop: a few interactive calls, a fraction of a millisecond.
INLINE_MAX_TOKENS: Final = 512
# If even small batches take longer than this, the model is so slow that it would block the loop.
_INLINE_MAX_SECONDS: Final = 3e-3
# The estimate is the minimum of this many batches: one fast batch allows the inline path again, one pause does not
# end it.
_SAMPLES: Final = 4


class InlineLatency:
    """Recent durations of small batches.

    Attributes
    ----------
    acceptable
        Whether the next small batch may run on the event loop; `False` until one small batch has been observed.
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)
        self.acceptable = False

    def observe(self, tokens: int, seconds: float) -> None:
        """Record a batch of `tokens` that took `seconds`; only small batches count."""
        if tokens <= INLINE_MAX_TOKENS:
            self._seconds.append(seconds)
            self.acceptable = min(self._seconds) <= _INLINE_MAX_SECONDS
