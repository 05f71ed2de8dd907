"""How fast the model works off tokens, learnt from the batches it has done."""

from __future__ import annotations


class ObservedPace:
    """An exponentially weighted mean of seconds per token.

    Until the first batch it promises nothing: ``seconds_for`` is 0, so no deadline is declared out of reach by guess.

    Parameters
    ----------
    weight
        Share of the newest batch in the mean, 0 to 1.
    """

    def __init__(self, weight: float = 0.1) -> None:
        self._weight = weight
        self._seconds_per_token = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from a batch of ``tokens`` that took ``seconds``."""
        sample = seconds / max(tokens, 1)
        if self._seconds_per_token == 0.0:
            self._seconds_per_token = sample
        else:
            self._seconds_per_token += self._weight * (sample - self._seconds_per_token)

    def seconds_for(self, tokens: int) -> float:
        """Return the expected time to work off ``tokens``, in seconds."""
        return tokens * self._seconds_per_token
