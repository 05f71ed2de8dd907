"""Calibration of logits and the threshold of the labels, fitted on judged pairs.

`cross_fitted` measures what is fitted on one part of the queries on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from evaluation.errors import CalibrationError, DataError
from evaluation.metrics import Floats, Ints

CalibrationKind = Literal["platt", "temperature"]
ThresholdRule = Callable[[Ints, Floats, Floats | None], float]
_FOLDS: Final = 5
# The slope is pulled to 0 by next to nothing: it stays finite where a score separates the labels.
_RIDGE: Final = 1e-6
_STEPS: Final = 100


def calibrate(
    labels: Ints, logits: Floats, kind: CalibrationKind, weights: Floats | None = None
) -> tuple[float, float]:
    """Fit `P(relevant) = sigmoid(slope * logit + intercept)`; return slope and intercept.

    `platt` fits both (Platt, 1999); `temperature` fixes the intercept at 0 (Guo et al., 2017).

    Raises
    ------
    CalibrationError
        If the slope that fits is not above 0: the logits rank the labels backwards.
    """
    slope, intercept = _fit(labels, logits, kind, weights)
    if slope <= 0.0:
        raise CalibrationError(
            f"the judged pairs are ranked backwards (calibration slope {slope:.3f}, expected above 0): "
            "check the labels, or train for longer"
        )
    return slope, intercept


def _fit(labels: Ints, logits: Floats, kind: CalibrationKind, weights: Floats | None) -> tuple[float, float]:
    """Fit a logistic regression by Newton's method; a step that makes the loss larger is halved."""
    columns = [np.asarray(logits, np.float64)] + [np.ones(len(labels))] * (kind == "platt")
    x, weight = np.column_stack(columns), np.ones(len(labels)) if weights is None else weights
    ridge = np.array([_RIDGE, 0.0])[: len(columns)]

    def loss(point: npt.NDArray[np.float64]) -> float:
        exponent = x @ point
        return float(
            (weight * (np.logaddexp(0.0, exponent) - labels * exponent)).sum() + (ridge * point**2).sum() / 2.0
        )

    point = np.zeros(len(columns))
    now = loss(point)
    for _ in range(_STEPS):
        p = probability(x @ point, (1.0, 0.0))
        gradient = x.T @ (weight * (p - labels)) + ridge * point
        curvature = (x * (weight * p * (1.0 - p))[:, None]).T @ x + np.diag(ridge + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        while loss(point - step) > now and np.abs(step).max() > 1e-9:
            step /= 2.0
        point, before = point - step, now
        now = loss(point)
        if before - now <= 1e-10 * (1.0 + now):
            break
    return float(point[0]), float(point[1]) if kind == "platt" else 0.0


def probability(logits: Floats, calibration: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return calibrated scores, float64 [N]."""
    slope, intercept = calibration
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(slope * np.asarray(logits, np.float64) + intercept, -80.0, 80.0))))


def best_threshold(labels: Ints, scores: Floats, weights: Floats | None = None) -> tuple[float, float]:
    """Return the threshold of the highest F1 for `score >= threshold`, and that F1."""
    weight = np.ones(len(labels)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum((weight * labels)[order])
    value = 2.0 * hits / (np.cumsum(weight[order]) + (weight * labels).sum())
    # Rows of equal score are all on one side of a threshold: only the last of them can be a cut.
    ranked = scores[order]
    value[:-1][ranked[:-1] == ranked[1:]] = -1.0
    cut = int(np.argmax(value))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
    return float((ranked[cut] + below) / 2.0), float(value[cut])


def highest_f1(labels: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Return the threshold of the highest F1."""
    return best_threshold(labels, scores, weights)[0]


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
    for train, _ in query_folds(groups, seed):
        if not 0 < labels[train].sum() < len(train):
            raise DataError(
                "too few of the measured queries have both relevant and irrelevant rows to calibrate on: "
                "judge more queries"
            )


def query_folds(groups: Ints, seed: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield the rows to fit on and the rows to score, of up to five folds of whole queries."""
    shuffled = np.random.RandomState(seed).permutation(np.unique(groups))
    for part in np.array_split(shuffled, min(_FOLDS, len(shuffled))):
        test = np.isin(groups, part)
        yield np.flatnonzero(~test), np.flatnonzero(test)


def cross_fitted(
    labels: Ints,
    logits: Floats,
    groups: Ints,
    kind: CalibrationKind,
    *,
    seed: int,
    weights: Floats | None = None,
    rule: ThresholdRule = highest_f1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return scores float64 [N] and predicted labels int64 [N]; calibration and threshold come from other groups' rows.

    If those rows are ranked backwards, as by a scorer without information, their share of relevant rows is the score.
    """
    scores, predicted = np.zeros(len(labels)), np.zeros(len(labels), dtype=np.int64)
    for train, test in query_folds(groups, seed):
        weight = None if weights is None else weights[train]
        slope, intercept = _fit(labels[train], logits[train], kind, weight)
        share = float(np.average(labels[train], weights=weight))
        calibration = (slope, intercept) if slope > 0.0 else (0.0, float(np.log(share / (1.0 - share))))
        threshold = rule(labels[train], probability(logits[train], calibration), weight)
        scores[test] = probability(logits[test], calibration)
        predicted[test] = scores[test] >= threshold
    return scores, predicted
