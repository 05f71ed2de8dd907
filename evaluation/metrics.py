"""Metrics of a ranking of judged pairs, with bootstrap intervals.

Rows of one query are not independent, so the bootstrap draws queries with replacement, not rows (the cluster bootstrap;
Efron & Tibshirani, 1993); intervals are percentile intervals. A resample is a weight per row: the number of times that
its query was drawn. Every metric takes such weights, so that scores are sorted only once.

The rows of a sample carry weights of their own, the inverse of their inclusion probability. Metrics are then ratios of
weighted sums (Hájek, 1971), and estimate what the whole table would give.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Metric = Callable[[Floats | None], float]
Key = TypeVar("Key", bound=Hashable)
_ECE_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_numbers(self) -> dict[str, float]:
        """Return the three numbers, rounded to four decimals."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


class Ranking:
    """Rows ranked by their scores; rows of equal score have one rank.

    Parameters
    ----------
    labels
        0 or 1 [N].
    scores
        Any numbers [N].

    Examples
    --------
    >>> Ranking(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])).auc()
    0.75
    """

    def __init__(self, labels: Ints, scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._scores = ranked[self._starts]
        self._labels = labels[self._order].astype(np.float64)

    def auc(self, weights: Floats | None = None) -> float:
        """Return the area under the ROC curve: the probability that a relevant row outscores an irrelevant one.

        NaN if one of the two classes has no row.
        """
        positive, negative = self._groups(weights)
        if positive.sum() == 0 or negative.sum() == 0:
            return float("nan")
        above = np.cumsum(positive) - positive / 2
        return float((negative * above).sum() / (positive.sum() * negative.sum()))

    def average_precision(self, weights: Floats | None = None) -> float:
        """Return average precision: the step-wise area under precision over recall; NaN without a relevant row."""
        positive, negative = self._groups(weights)
        if positive.sum() == 0:
            return float("nan")
        hits, seen = np.cumsum(positive), np.cumsum(positive + negative)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return float((precision * positive).sum() / positive.sum())

    def curve(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Return false and true positive rates, one point per distinct score, starting at (0, 0)."""
        positive, negative = self._groups(weights)
        false = np.concatenate([[0.0], np.cumsum(negative) / (negative.sum() or 1.0)])
        true = np.concatenate([[0.0], np.cumsum(positive) / (positive.sum() or 1.0)])
        return false, true

    def cuts(self, weights: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Return the distinct scores, highest first, and precision and recall of the rows that have at least each."""
        positive, negative = self._groups(weights)
        hits, seen = np.cumsum(positive), np.cumsum(positive + negative)
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        return self._scores, precision, hits / (positive.sum() or 1.0)

    def _groups(self, weights: Floats | None) -> tuple[Floats, Floats]:
        weight = np.ones(len(self._labels)) if weights is None else weights[self._order]
        return (
            np.add.reduceat(self._labels * weight, self._starts),
            np.add.reduceat((1.0 - self._labels) * weight, self._starts),
        )


def auc(labels: Ints, scores: Floats) -> float:
    """Return the area under the ROC curve."""
    return Ranking(labels, scores).auc()


def precision(labels: Ints, predicted: Ints, weights: Floats | None = None) -> float:
    """Return the share of relevant rows among those that `predicted` calls relevant; NaN if it calls none so."""
    return _share(labels, predicted, weights)


def recall(labels: Ints, predicted: Ints, weights: Floats | None = None) -> float:
    """Return the share of the relevant rows that `predicted` calls relevant; NaN without a relevant row."""
    return _share(predicted, labels, weights)


def _share(counted: Ints, among: Ints, weights: Floats | None) -> float:
    weight = among if weights is None else weights * among
    total = weight.sum()
    return float((weight * counted).sum() / total) if total > 0 else float("nan")


def f1(labels: Ints, predicted: Ints, weights: Floats | None = None) -> float:
    """Return the harmonic mean of precision and recall of the labels `predicted` (0 or 1) [N]."""
    weight = np.ones(len(labels)) if weights is None else weights
    both = (weight * labels * predicted).sum()
    total = (weight * labels).sum() + (weight * predicted).sum()
    return float(2.0 * both / total) if total > 0 else float("nan")


def calibration_error(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Return the expected calibration error over ten equal bins (Naeini et al., 2015)."""
    weight = np.ones(len(labels)) if weights is None else weights
    bins = np.minimum((scores * _ECE_BINS).astype(np.int64), _ECE_BINS - 1)
    gap = np.bincount(bins, weights=weight * (labels - scores), minlength=_ECE_BINS)
    return float(np.abs(gap).sum() / weight.sum())


def log_loss(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Return the mean negative logarithm of the probability that the scores give to the labels."""
    given = np.clip(np.where(labels == 1, scores, 1.0 - scores), 1e-12, 1.0)
    return float(np.average(-np.log(given), weights=weights))


def agreement(predicted: Ints, teacher: Ints, weights: Floats | None = None) -> float:
    """Return the share of rows for which student and teacher predict the same label."""
    return float(np.average(predicted == teacher, weights=weights))


def query_ndcg(gains: Floats, scores: Floats, groups: Ints) -> Floats:
    """Return each group's NDCG with linear gains (Järvelin & Kekäläinen, 2002), float64 [groups].

    Rows of equal score each get the mean of their gains. NaN for a group whose rows all have the same gain.
    """
    result = np.full(int(groups.max()) + 1, np.nan)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        gain = gains[rows].astype(np.float64)
        if np.ptp(gain) == 0.0:
            continue
        discount = 1.0 / np.log2(np.arange(2, len(rows) + 2))
        _, tie = np.unique(-scores[rows], return_inverse=True)
        shared = (np.bincount(tie, weights=gain) / np.bincount(tie))[np.sort(tie)]
        result[group] = (shared * discount).sum() / (np.sort(gain)[::-1] * discount).sum()
    return result


def mean_ndcg(gains: Floats, scores: Floats, groups: Ints) -> Metric:
    """Return the mean NDCG over the groups whose rows differ in gain, as a metric of the groups' weights."""
    distinct, first_row = np.unique(groups, return_index=True)
    values = query_ndcg(gains, scores, groups)[distinct]
    known = ~np.isnan(values)
    values, first_row = values[known], first_row[known]

    def metric(weights: Floats | None) -> float:
        weight = np.ones(len(values)) if weights is None else weights[first_row]
        total = weight.sum()
        return float((values * weight).sum() / total) if total > 0 else float("nan")

    return metric


@dataclass(frozen=True, slots=True)
class Draws:
    """A metric of the rows, and its values over the resamples, float64 [resamples]."""

    value: float
    resampled: npt.NDArray[np.float64]

    def __sub__(self, other: Draws) -> Draws:
        """Return the difference of two metrics over the same resamples: the paired bootstrap."""
        return Draws(self.value - other.value, self.resampled - other.resampled)

    def interval(self, confidence: float) -> Interval:
        """Return the percentile interval; NaN if no resample has a value."""
        known = self.resampled[~np.isnan(self.resampled)]
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(known, [tail, 1.0 - tail]) if len(known) else (np.nan, np.nan)
        return Interval(self.value, float(low), float(high))


def bootstrap_draws(
    metrics: Mapping[Key, Metric], groups: Ints, *, resamples: int, seed: int, weights: Floats | None = None
) -> dict[Key, Draws]:
    """Return every metric with its values over the same resamples of whole groups [N].

    `weights` are those of the rows [N]; in a resample they are multiplied by the times that the row was drawn.
    """
    values = {key: np.empty(resamples) for key in metrics}
    rng = np.random.default_rng(seed)
    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    for draw in range(resamples):
        times = np.bincount(rng.integers(0, count, size=count), minlength=count)[number].astype(np.float64)
        for key, metric in metrics.items():
            values[key][draw] = metric(times if weights is None else times * weights)
    return {key: Draws(metric(weights), values[key]) for key, metric in metrics.items()}


def bootstrap(metric: Metric, groups: Ints, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Return `metric(None)` with the percentile interval of `metric(weights)` over resampled groups [N]."""
    return bootstrap_draws({"": metric}, groups, resamples=resamples, seed=seed)[""].interval(confidence)
