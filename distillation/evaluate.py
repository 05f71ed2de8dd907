"""Cross-validation by query: what a student is worth on queries whose judgements it never saw."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from distillation.metrics import Interval, auc, average_precision, best_threshold, bootstrap, platt
from distillation.recipe import Evaluation

_LOG = logging.getLogger(__name__)

FitAndPredict = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Report:
    """A student's measures on judged rows, all out of fold, beside simpler scorers of the same rows.

    Attributes
    ----------
    auc, average_precision
        Scorer to measure; the student comes first.
    calibration
        Slope and intercept of Platt scaling, fitted on out-of-fold logits.
    threshold, f1
        The threshold of the highest F1 on calibrated out-of-fold scores, and that F1.
    rows, queries
        How many were judged.
    positives
        Rows that count as relevant.
    """

    auc: dict[str, Interval]
    average_precision: dict[str, Interval]
    calibration: tuple[float, float]
    threshold: float
    f1: float
    rows: int
    queries: int
    positives: int


def out_of_fold(
    fit_and_predict: FitAndPredict, groups: npt.NDArray[np.int64], recipe: Evaluation, *, seed: int
) -> npt.NDArray[np.float32]:
    """Return a logit for every row, float32 [N], from a student fitted on other groups' rows only."""
    logits = np.empty(len(groups), dtype=np.float32)
    folds = GroupKFold(recipe.folds, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(folds.split(groups, groups=groups), start=1):
        logits[test] = fit_and_predict(train, test)
        _LOG.info("fold %d of %d: %d rows fitted, %d predicted", number, recipe.folds, len(train), len(test))
    return logits


def evaluate(
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    baselines: dict[str, npt.NDArray[np.floating]],
    recipe: Evaluation,
    *,
    seed: int,
) -> Report:
    """Measure out-of-fold ``logits`` and ``baselines`` against ``labels`` (0/1), with intervals over ``groups``."""
    scorers: dict[str, npt.NDArray[np.floating]] = {"student": logits, **baselines}

    def intervals(measure: Callable[..., float]) -> dict[str, Interval]:
        return {
            name: bootstrap(
                measure, labels, scores, groups, resamples=recipe.resamples, confidence=recipe.confidence, seed=seed
            )
            for name, scores in scorers.items()
        }

    slope, intercept = platt(labels, logits)
    threshold, f1 = best_threshold(labels, 1.0 / (1.0 + np.exp(-(slope * logits.astype(np.float64) + intercept))))
    return Report(
        auc=intervals(auc),
        average_precision=intervals(average_precision),
        calibration=(slope, intercept),
        threshold=threshold,
        f1=f1,
        rows=len(labels),
        queries=len(np.unique(groups)),
        positives=int(labels.sum()),
    )
