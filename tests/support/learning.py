"""Whether a training learnt."""

from __future__ import annotations


def learnt(history: list[float]) -> bool:
    """Tell whether the loss fell from the first to the last part of a history."""
    return len(history) > 1 and history[-1] < history[0]
