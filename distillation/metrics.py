"""Measures of a ranking of judged pairs, and how sure they are.

Rows of one query hang together, so the bootstrap draws queries with replacement, not rows (the cluster bootstrap;
Efron & Tibshirani, 1993), and the interval is the percentile interval. A resample is a weight per row: how often its
query was drawn. Every measure takes such weights, so that scores are sorted once.
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
    """A measure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_numbers(self) -> dict[str, float]:
        """Return the three numbers, rounded to four places."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


class Ranking:
    """Rows in the order of their scores; equal scores stand together.

    Parameters
    ----------
    labels
        0 or 1 [N].
    scores
        Any numbers [N].
    """

    def __init__(self, labels: Ints, scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._labels = labels[self._order].astype(np.float64)

    def auc(self, weights: Floats | None = None) -> float:
        """Return the area under the ROC curve: the chance that a relevant row outscores another; NaN without both."""
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


def f1(labels: Ints, said: Ints, weights: Floats | None = None) -> float:
    """Return the harmonic mean of precision and recall of `said` (0 or 1) [N]."""
    weight = np.ones(len(labels)) if weights is None else weights
    both = (weight * labels * said).sum()
    total = (weight * labels).sum() + (weight * said).sum()
    return float(2.0 * both / total) if total > 0 else float("nan")


def calibration_error(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Return the expected calibration error over ten equal bins (Naeini et al., 2015)."""
    weight = np.ones(len(labels)) if weights is None else weights
    place = np.minimum((scores * _ECE_BINS).astype(np.int64), _ECE_BINS - 1)
    gap = np.bincount(place, weights=weight * (labels - scores), minlength=_ECE_BINS)
    return float(np.abs(gap).sum() / weight.sum())


def agreement(said: Ints, teacher: Ints, weights: Floats | None = None) -> float:
    """Return the share of rows on which two say the same."""
    return float(np.average(said == teacher, weights=weights))


def query_ndcg(gains: Floats, scores: Floats, groups: Ints) -> Floats:
    """Return each group's NDCG with linear gains (Järvelin & Kekäläinen, 2002), float64 [groups].

    Equal scores share the mean of their gains. A group whose rows all have one gain has nothing to rank: NaN.
    """
    result = np.full(int(groups.max()) + 1, np.nan)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        gain = gains[rows].astype(np.float64)
        if np.ptp(gain) == 0.0:
            continue
        discount = 1.0 / np.log2(np.arange(2, len(rows) + 2))
        _, tie = np.unique(-scores[rows], return_inverse=True)
        fair = (np.bincount(tie, weights=gain) / np.bincount(tie))[np.sort(tie)]
        result[group] = (fair * discount).sum() / (np.sort(gain)[::-1] * discount).sum()
    return result


def bootstrap(
    measure: Callable[[Floats | None], float],
    groups: Ints,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return `measure(None)` with the percentile interval of `measure(weights)` over resampled groups [N]."""
    rng = np.random.default_rng(seed)
    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    values: list[float] = []
    for _ in range(resamples):
        drawn = np.bincount(rng.integers(0, count, size=count), minlength=count)
        values.append(measure(drawn[number].astype(np.float64)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(values, [tail, 1.0 - tail])
    return Interval(measure(None), float(low), float(high))


def calibrate(labels: Ints, logits: Floats, kind: CalibrationKind) -> tuple[float, float]:
    """Fit `P(relevant) = sigmoid(slope * logit + intercept)`; returns slope and intercept.

    `platt` fits both (Platt, 1999); `temperature` leaves the intercept at 0 (Guo et al., 2017).

    Raises
    ------
    TrainingError
        If the logits rank the labels backwards, so that no slope above 0 fits.
    """
    slope, intercept = _fit(labels, logits, kind)
    if slope <= 0.0:
        raise TrainingError(
            f"the judged pairs are ranked backwards (slope {slope:.3f} of the calibration, expected above 0): "
            "train for longer, or look at the labels"
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
    # Equal scores fall on one side together: only the last row of a run of equals can be a cut.
    ranked = scores[order]
    value[:-1][ranked[:-1] == ranked[1:]] = -1.0
    cut = int(np.argmax(value))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
    return float((ranked[cut] + below) / 2.0), float(value[cut])


def check_cross_fits(labels: Ints, groups: Ints, *, seed: int) -> None:
    """See that `cross_fitted` can calibrate on these rows, labels 0 or 1 [N], whatever a scorer says of them.

    Raises
    ------
    DataError
        If there are too few queries for it.
    """
    if len(np.unique(groups)) < 2:
        raise DataError(
            "only one query is measured: calibration and threshold are fitted on others, judge more queries"
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
    """Return scores float64 [N] and labels said int64 [N], calibration and threshold fitted on other groups' rows.

    A scorer that ranks those backwards, as one that knows nothing may, gets their share of relevant rows for a score.
    """
    scores, said = np.zeros(len(labels)), np.zeros(len(labels), dtype=np.int64)
    for train, test in _cross_fits(groups, seed):
        slope, intercept = _fit(labels[train], logits[train], kind)
        share = labels[train].mean()
        calibration = (slope, intercept) if slope > 0.0 else (0.0, float(np.log(share / (1.0 - share))))
        threshold, _ = best_threshold(labels[train], probability(logits[train], calibration))
        scores[test] = probability(logits[test], calibration)
        said[test] = scores[test] >= threshold
    return scores, said
