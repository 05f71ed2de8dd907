"""Metrics of a ranking of judged pairs, with bootstrap intervals, and calibration.

Rows of one query are not independent, so the bootstrap draws queries with replacement, not rows (the cluster bootstrap;
Efron & Tibshirani, 1993); intervals are percentile intervals. A resample is a weight per row: the number of times that
its query was drawn. Every metric takes such weights, so that scores are sorted only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from distillation.errors import DataError, TrainingError

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
CalibrationKind = Literal["platt", "temperature"]
_ECE_BINS: Final = 10
_CROSS_FITS: Final = 5


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

    def curve(self) -> tuple[Floats, Floats]:
        """Return false and true positive rates, one point per distinct score, starting at (0, 0)."""
        positive, negative = self._groups(None)
        false = np.concatenate([[0.0], np.cumsum(negative) / max(negative.sum(), 1.0)])
        true = np.concatenate([[0.0], np.cumsum(positive) / max(positive.sum(), 1.0)])
        return false, true

    def _groups(self, weights: Floats | None) -> tuple[Floats, Floats]:
        weight = np.ones(len(self._labels)) if weights is None else weights[self._order]
        return (
            np.add.reduceat(self._labels * weight, self._starts),
            np.add.reduceat((1.0 - self._labels) * weight, self._starts),
        )


def auc(labels: Ints, scores: Floats) -> float:
    """Return the area under the ROC curve."""
    return Ranking(labels, scores).auc()


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


def bootstrap(
    metric: Callable[[Floats | None], float],
    groups: Ints,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return `metric(None)` with the percentile interval of `metric(weights)` over resampled groups [N]."""
    rng = np.random.default_rng(seed)
    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    values: list[float] = []
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, count, size=count), minlength=count)
        values.append(metric(drawn[number].astype(np.float64)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return Interval(metric(None), float(low), float(high))


def calibrate(labels: Ints, logits: Floats, kind: CalibrationKind) -> tuple[float, float]:
    """Fit `P(relevant) = sigmoid(slope * logit + intercept)`; return slope and intercept.

    `platt` fits both (Platt, 1999); `temperature` fixes the intercept at 0 (Guo et al., 2017).

    Raises
    ------
    TrainingError
        If the slope that fits is not above 0: the logits rank the labels backwards.
    """
    slope, intercept = _fit(labels, logits, kind)
    if slope <= 0.0:
        raise TrainingError(
            f"the judged pairs are ranked backwards (calibration slope {slope:.3f}, expected above 0): "
            "train for longer, or check the labels"
        )
    return slope, intercept


def _fit(labels: Ints, logits: Floats, kind: CalibrationKind) -> tuple[float, float]:
    model = LogisticRegression(C=1e6, fit_intercept=kind == "platt").fit(np.asarray(logits).reshape(-1, 1), labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0]) if kind == "platt" else 0.0


def probability(logits: Floats, calibration: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return calibrated scores, float64 [N]."""
    slope, intercept = calibration
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(slope * np.asarray(logits, np.float64) + intercept, -80.0, 80.0))))


def best_threshold(labels: Ints, scores: Floats) -> tuple[float, float]:
    """Return the threshold of the highest F1 for `score >= threshold`, and that F1."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    value = 2.0 * hits / (np.arange(1, len(order) + 1) + labels.sum())
    # Rows of equal score are all on one side of a threshold: only the last of them can be a cut.
    ranked = scores[order]
    value[:-1][ranked[:-1] == ranked[1:]] = -1.0
    cut = int(np.argmax(value))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
    return float((ranked[cut] + below) / 2.0), float(value[cut])


def check_cross_fits(labels: Ints, groups: Ints, *, seed: int) -> None:
    """Check that `cross_fitted` can calibrate any scores of these rows, labels 0 or 1 [N].

    Raises
    ------
    DataError
        If there are too few queries.
    """
    if len(np.unique(groups)) < 2:
        raise DataError(
            "only one query is measured: calibration and threshold are fitted on other queries, judge more queries"
        )
    for train, _ in _cross_fits(groups, seed):
        if not 0 < labels[train].sum() < len(train):
            raise DataError(
                "too few of the measured queries have both relevant and irrelevant rows to calibrate on: "
                "judge more queries"
            )


def _cross_fits(groups: Ints, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield the rows to fit on and the rows to score."""
    fits = GroupKFold(min(_CROSS_FITS, len(np.unique(groups))), shuffle=True, random_state=seed)
    yield from fits.split(groups, groups=groups)


def cross_fitted(
    labels: Ints, logits: Floats, groups: Ints, kind: CalibrationKind, *, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return scores float64 [N] and predicted labels int64 [N]; calibration and threshold come from other groups' rows.

    If those rows are ranked backwards, as by a scorer without information, their share of relevant rows is the score.
    """
    scores, predicted = np.zeros(len(labels)), np.zeros(len(labels), dtype=np.int64)
    for train, test in _cross_fits(groups, seed):
        slope, intercept = _fit(labels[train], logits[train], kind)
        share = labels[train].mean()
        calibration = (slope, intercept) if slope > 0.0 else (0.0, float(np.log(share / (1.0 - share))))
        threshold, _ = best_threshold(labels[train], probability(logits[train], calibration))
        scores[test] = probability(logits[test], calibration)
        predicted[test] = scores[test] >= threshold
    return scores, predicted
