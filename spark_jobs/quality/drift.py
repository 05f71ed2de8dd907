"""Drift between two runs: the population stability index (PSI) of their score histograms and labels.

`PSI = sum((a - b) * ln(a / b))` over the shares a and b of each bin in the two runs: the Jeffreys
divergence. It is 0 for equal shares, never negative, and symmetric.

**Empty bins.** A share below `LEAST_SHARE` counts as `LEAST_SHARE`, on both sides. Every term is then finite and still
not negative, proportional counts still give exactly 0, and a bin that was empty before adds at most
`ln(1 / LEAST_SHARE)`, 9.2.

**Small runs.** Two samples of n and m rows from the same source have a PSI of about `(bins - 1) * (1/n + 1/m)` (B.
Yurdakul, "Statistical Properties of Population Stability Index", Western Michigan University, 2018). `Drift.by_chance`
is that value. If it is above `MOST_CHANCE` and the PSI is at most `CERTAIN` times it, the reading is `too few rows`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

LEAST_SHARE = 1e-4
MOST_CHANCE = 0.05
CERTAIN = 4
"""A PSI above `CERTAIN` times `by_chance` counts as drift, however few the rows are."""
MODERATE, STRONG = 0.1, 0.25

DriftReading = Literal["stable", "moderate", "strong", "too few rows"]


@dataclass(frozen=True)
class Drift:
    """The distance between two histograms.

    Attributes
    ----------
    psi
        0 or more.
    by_chance
        The PSI to expect from two samples of these sizes from the same source.
    """

    psi: float
    by_chance: float

    @property
    def reading(self) -> DriftReading:
        """The PSI in words: below 0.1 stable, up to 0.25 moderate, above that strong (the usual bounds in banking)."""
        if self.by_chance > MOST_CHANCE and self.psi <= CERTAIN * self.by_chance:
            return "too few rows"
        if self.psi < MODERATE:
            return "stable"
        return "moderate" if self.psi <= STRONG else "strong"


def psi(counts: Sequence[int], before: Sequence[int]) -> float:
    """Return the PSI of two histograms with the same bins.

    Parameters
    ----------
    counts, before
        Rows of each bin; either side has at least one row.

    Raises
    ------
    ValueError
        If the bins differ in number, or a side is empty.
    """
    if len(counts) != len(before):
        raise ValueError(f"{len(counts)} and {len(before)} bins cannot be compared")
    if not sum(counts) or not sum(before):
        raise ValueError("a histogram without rows cannot be compared")
    shares = zip(_shares(counts), _shares(before), strict=True)
    return math.fsum((new - old) * math.log(new / old) for new, old in shares)


def drift(counts: Sequence[int], before: Sequence[int]) -> Drift | None:
    """Compare two histograms; `None` if they have different bins or one has no rows."""
    rows, rows_before = sum(counts), sum(before)
    if len(counts) != len(before) or not rows or not rows_before:
        return None
    by_chance = (len(counts) - 1) * (1 / rows + 1 / rows_before)
    return Drift(psi(counts, before), by_chance)


def label_drift(labels: Mapping[str, int], before: Mapping[str, int]) -> Drift | None:
    """Compare the rows of each label; a label that one side lacks has no rows there."""
    names = sorted({*labels, *before})
    return drift([labels.get(name, 0) for name in names], [before.get(name, 0) for name in names])


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [max(count / total, LEAST_SHARE) for count in counts]
