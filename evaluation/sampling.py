"""Which rows of labelled pairs people should judge: a random sample from strata of the score, or a choice of rows.

In a random sample every row has a known probability of being drawn, so that weighted metrics estimate those of the
whole table without bias (Horvitz & Thompson, 1952). Strata of the score make it efficient: their bounds follow the
cumulative square root of the frequency (Dalenius & Hodges, 1959), and each gets rows in proportion to its size times
the spread that its scores let expect (Neyman, 1934).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.errors import DataError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_FINE: Final = 1000
_STRATA: Final = 10
# A model may be wrong where it is sure: no stratum is taken for purer than this.
_LEAST_SPREAD: Final = 0.05
_FEWEST_ROWS: Final = 5


@dataclass(frozen=True)
class Strata:
    """Strata of the score.

    Attributes
    ----------
    edges
        Bounds, ascending, the first 0 and the last 1, float64 [strata + 1]; a stratum holds its lower bound.
    sizes
        Rows of the table in each, int64 [strata].
    drawn
        Rows to draw from each, int64 [strata].
    """

    edges: Floats
    sizes: Ints
    drawn: Ints

    def __len__(self) -> int:
        """Return the number of strata."""
        return len(self.sizes)

    def of(self, scores: Floats) -> Ints:
        """Return the stratum of each score, int64 [N]."""
        return np.clip(np.searchsorted(self.edges, scores, side="right") - 1, 0, len(self) - 1).astype(np.int64)

    def inclusion_probabilities(self) -> Floats:
        """Return the probability with which a row of each stratum is drawn, float64 [strata]."""
        return self.drawn / self.sizes


class ScoreHistogram:
    """Counts scores in a thousand bins, with their sums."""

    def __init__(self) -> None:
        self.counts = np.zeros(_FINE, dtype=np.int64)
        self.sums = np.zeros(_FINE)

    def add(self, scores: Floats) -> None:
        """Count some scores, 0 to 1."""
        bins = np.minimum((scores * _FINE).astype(np.int64), _FINE - 1)
        self.counts += np.bincount(bins, minlength=_FINE)
        self.sums += np.bincount(bins, weights=scores, minlength=_FINE)


def strata_for(histogram: ScoreHistogram, rows: int) -> Strata:
    """Return the strata for a sample of about `rows` rows.

    Raises
    ------
    DataError
        If there is no row with a score.
    """
    counts, total = histogram.counts, int(histogram.counts.sum())
    if total == 0:
        raise DataError("no row has a score: there is nothing to draw from")
    cumulated = np.cumsum(np.sqrt(counts))
    wanted = np.arange(1, _STRATA) / _STRATA * cumulated[-1]
    cuts = np.unique(np.concatenate([[0], np.searchsorted(cumulated, wanted) + 1, [_FINE]]))
    cuts = cuts[cuts <= _FINE]
    sizes = np.add.reduceat(counts, cuts[:-1])
    means = np.divide(np.add.reduceat(histogram.sums, cuts[:-1]), sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    kept = sizes > 0
    # An empty stratum joins the one below it, the first the one above.
    edges = np.concatenate([[0], cuts[:-1][kept][1:], [_FINE]]) / _FINE
    return Strata(edges, sizes[kept], allocation(sizes[kept], means[kept], rows))


def allocation(sizes: Ints, means: Floats, rows: int) -> Ints:
    """Return how many rows to draw from each stratum: in all `rows`, but no more than a stratum has, int64 [strata]."""
    chances = np.clip(means, _LEAST_SPREAD, 1.0 - _LEAST_SPREAD)
    spread = sizes * np.sqrt(chances * (1.0 - chances))
    drawn = np.minimum(sizes, _FEWEST_ROWS)
    while (missing := rows - int(drawn.sum())) > 0 and (open_ := drawn < sizes).any():
        share = np.where(open_, spread, 0.0)
        more = np.floor(missing * share / share.sum()).astype(np.int64)
        if not more.any():
            more[np.argmax(np.where(open_, spread / (drawn + 1), -1.0))] = 1
        drawn = np.minimum(sizes, drawn + more)
    return drawn


def draw(strata: Strata, batches: Iterable[Floats], rng: np.random.Generator) -> tuple[list[Ints], list[Floats]]:
    """Draw rows without replacement; return the rows' numbers in each batch, and their inclusion probabilities.

    `batches` are the scores of the rows that the strata were made of, in any partition into batches.
    """
    chosen = [
        np.sort(rng.choice(size, size=count, replace=False))
        for size, count in zip(strata.sizes, strata.drawn, strict=True)
    ]
    probabilities = strata.inclusion_probabilities()
    seen = np.zeros(len(strata), dtype=np.int64)
    rows, shares = [], []
    for scores in batches:
        of = strata.of(scores)
        found = []
        for number in range(len(strata)):
            own = np.flatnonzero(of == number)
            first, last = np.searchsorted(chosen[number], [seen[number], seen[number] + len(own)])
            found.append(own[chosen[number][first:last] - seen[number]])
            seen[number] += len(own)
        batch_rows = np.sort(np.concatenate(found))
        rows.append(batch_rows)
        shares.append(probabilities[of[batch_rows]])
    return rows, shares
