"""Rows of published labels to judge: drawn at random, or chosen as the most uncertain or the most disputed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.errors import DataError
from evaluation.published_labels import LABEL, SCORE, PublishedLabels
from evaluation.sampling import ScoreHistogram, Strata, draw, strata_for

Floats = npt.NDArray[np.float64]
Rescore = Callable[[list[str], list[str]], Floats]
# More rows than are asked for are looked at, since some repeat a pair.
_SPARE: Final = 4
_RANGE: Final = (f"{SCORE}_min", f"{SCORE}_max")


@dataclass(frozen=True)
class PairToJudge:
    """A pair; if it was drawn at random, with its inclusion probability and how many of its rows were drawn."""

    query: str
    title: str
    inclusion_probability: float | None = None
    times_drawn: int | None = None


def draw_at_random(labels: PublishedLabels, rows: int, *, seed: int) -> tuple[list[PairToJudge], Strata]:
    """Draw rows of the table; rows of the same pair become one, which counts as often as it was drawn.

    Raises
    ------
    DataError
        If no row has a score, or a file cannot be read.
    """
    histogram = ScoreHistogram()
    for scores in labels.scores():
        histogram.add(scores)
    strata = strata_for(histogram, rows)
    rng = np.random.default_rng(seed)
    drawn, shares = draw(strata, labels.scores(), rng)
    times: Counter[tuple[str, str, float]] = Counter()
    for batch, numbers, probabilities in zip(labels.batches(), drawn, shares, strict=True):
        texts = zip(*(batch.texts(column, numbers) for column in labels.columns), probabilities.tolist(), strict=True)
        times.update(texts)
    pairs = [PairToJudge(query, title, share, count) for (query, title, share), count in times.items()]
    return _shuffled(pairs, rng), strata


def choose_uncertain(labels: PublishedLabels, rows: int, *, seed: int) -> list[PairToJudge]:
    """Choose the pairs whose scores are nearest to the threshold between the labels.

    Raises
    ------
    DataError
        If there is only one label, so that no threshold is known.
    """
    threshold = _threshold(labels)
    pairs = _nearest(labels, rows, threshold)
    return _shuffled(pairs, np.random.default_rng(seed))


def choose_disputed(
    labels: PublishedLabels, rows: int, rescore: Rescore, *, threshold: float, candidates: int, seed: int
) -> list[PairToJudge]:
    """Choose the pairs that another model labels otherwise, largest difference of scores first.

    Parameters
    ----------
    labels, rows
        The table, and the number of pairs to choose.
    rescore, threshold
        The other model's scores of some pairs, and its threshold.
    candidates
        Rows of the table, drawn at random, that the other model scores.
    seed
        Of the draws.
    """
    rng = np.random.default_rng(seed)
    total = sum(len(scores) for scores in labels.scores())
    wanted = np.sort(rng.choice(total, size=min(total, candidates), replace=False))
    own_threshold, start = _threshold(labels), 0
    scores: dict[tuple[str, str], float] = {}
    for batch in labels.batches():
        first, last = np.searchsorted(wanted, [start, start + len(batch.scores)])
        numbers = wanted[first:last] - start
        start += len(batch.scores)
        texts = zip(*(batch.texts(column, numbers) for column in labels.columns), strict=True)
        scores.update(zip(texts, batch.scores[numbers].tolist(), strict=True))
    pairs = list(scores)
    ours = np.array(list(scores.values()))
    theirs = rescore([query for query, _ in pairs], [title for _, title in pairs])
    known = ~np.isnan(theirs)
    otherwise = (ours >= own_threshold) != (theirs >= threshold)
    order = np.lexsort((-np.abs(ours - np.where(known, theirs, ours)), ~(otherwise & known)))
    chosen = [PairToJudge(*pairs[row]) for row in order[:rows] if known[row]]
    return _shuffled(chosen, rng)


def _threshold(labels: PublishedLabels) -> float:
    """Return the middle between the highest score of one label and the lowest of the other."""
    bounds: dict[str, tuple[float, float]] = {}
    for batch in labels.batches():
        ranges = batch.table.group_by(LABEL).aggregate([(SCORE, "min"), (SCORE, "max")])
        for name, least, most in zip(*(ranges[c].to_pylist() for c in (LABEL, *_RANGE)), strict=True):
            low, high = bounds.get(name, (np.inf, -np.inf))
            bounds[name] = min(low, least), max(high, most)
    if len(bounds) != 2:
        raise DataError(
            f"{labels.path}: expected two labels, found {len(bounds)} ({', '.join(map(str, bounds)) or 'none'}): "
            "where the threshold is cannot be known"
        )
    (_, top), (bottom, _) = sorted(bounds.values())
    return (top + bottom) / 2.0


def _nearest(labels: PublishedLabels, rows: int, threshold: float) -> list[PairToJudge]:
    held: dict[tuple[str, str], float] = {}
    for batch in labels.batches():
        distance = np.abs(batch.scores - threshold)
        numbers = np.argsort(distance, kind="stable")[: _SPARE * rows]
        texts = zip(*(batch.texts(column, numbers) for column in labels.columns), strict=True)
        held.update(zip(texts, distance[numbers].tolist(), strict=True))
        nearest = sorted(held.items(), key=lambda item: (item[1], item[0]))[:rows]
        held = dict(nearest)
    return [PairToJudge(query, title) for query, title in held]


def _shuffled(pairs: list[PairToJudge], rng: np.random.Generator) -> list[PairToJudge]:
    """Return the pairs in random order: who judges must not see from the order what the model thinks."""
    return [pairs[number] for number in rng.permutation(len(pairs))]
