"""Score intervals: they keep their width where few rows are wrong, and resamples of the rows hardly differ.

A bootstrap that never draws a wrong row finds a precision of 1, between 1 and 1. Intervals that use the variance at the
bound instead of that at the estimate do not (Wilson, 1927; for the area under the ROC curve, Newcombe, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_HALVINGS = 60


def effective_rows(weights: npt.NDArray[np.floating]) -> float:
    """Return the number of rows of equal weight that would say as much (Kish, 1965); 0 without a row."""
    total = float((weights**2).sum())
    return float(weights.sum() ** 2) / total if total > 0 else 0.0


def share_interval(share: float, rows: float, confidence: float) -> tuple[float, float]:
    """Return the bounds of a share of `rows` rows.

    Examples
    --------
    >>> [round(bound, 2) for bound in share_interval(1.0, 20, 0.95)]
    [0.84, 1.0]
    """
    return _bounds(share, lambda p: p * (1.0 - p) / rows, confidence)


def auc_interval(auc: float, positives: float, negatives: float, confidence: float) -> tuple[float, float]:
    """Return the bounds of an area under the ROC curve of so many relevant and irrelevant rows.

    Examples
    --------
    >>> [round(bound, 3) for bound in auc_interval(1.0, 100, 100, 0.95)]
    [0.98, 1.0]
    """
    mean = (positives + negatives) / 2.0 - 1.0

    def variance(p: float) -> float:
        return p * (1.0 - p) * (1.0 + mean * (1.0 - p) / (2.0 - p) + mean * p / (1.0 + p)) / (positives * negatives)

    return _bounds(auc, variance, confidence)


def _bounds(value: float, variance: Callable[[float], float], confidence: float) -> tuple[float, float]:
    """Return the least and the largest `p` that are no further from `value` than their own standard error allows."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)

    def within(p: float) -> bool:
        return abs(value - p) <= z * math.sqrt(max(0.0, variance(p)))

    def edge(outside: float) -> float:
        inside = value
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2.0
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        return inside

    return edge(0.0), edge(1.0)
