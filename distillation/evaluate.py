"""Cross-validation by query: what a student is worth on queries whose judgements it never saw."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from distillation.errors import TrainingError
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
        Slope and intercept of Platt scaling, fitted on out-of-fold logits with kindred queries apart.
    threshold, f1
        The threshold of the highest F1 on the scores so calibrated, and that F1.
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


def kindred(queries: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return a group for each query, int64 [N]; kindred queries share one.

    Two are kindred if one has all the other's words, plurals aside (*laptop*, *gaming laptops*), or they differ by
    spaces only (*smart watch*, *smartwatch*); so is whatever chains of such pairs join. They ask for much the same
    titles, so a student that has seen the judgements of one is not tried by the other.
    """
    distinct = list(dict.fromkeys(queries))
    group = list(range(len(distinct)))
    words = [{_singular(word) for word in query.lower().split()} for query in distinct]
    joined = [_singular("".join(query.lower().split())) for query in distinct]
    for i in range(len(distinct)):
        for j in range(i):
            if group[i] != group[j] and (words[i] <= words[j] or words[j] <= words[i] or joined[i] == joined[j]):
                merged, into = group[i], group[j]
                group = [into if g == merged else g for g in group]
    group_of = dict(zip(distinct, group, strict=True))
    return np.array([group_of[query] for query in queries], dtype=np.int64)


def _singular(word: str) -> str:
    return word.removesuffix("s")


def evaluate(
    scorers: dict[str, npt.NDArray[np.floating]],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    calibrated: npt.NDArray[np.float32],
    recipe: Evaluation,
    seed: int,
) -> Report:
    """Measure each scorer against ``labels`` (0/1), intervals over ``groups``; calibrate on ``calibrated`` logits.

    Raises
    ------
    TrainingError
        If the calibrated logits rank the labels backwards.
    """

    def intervals(measure: Callable[..., float]) -> dict[str, Interval]:
        return {
            name: bootstrap(
                measure, labels, scores, groups, resamples=recipe.resamples, confidence=recipe.confidence, seed=seed
            )
            for name, scores in scorers.items()
        }

    slope, intercept = platt(labels, calibrated)
    if slope <= 0.0:
        raise TrainingError(
            f"the student ranks judged pairs backwards (Platt slope {slope:.3f}, expected above 0): train it for longer"
        )
    threshold, f1 = best_threshold(labels, 1.0 / (1.0 + np.exp(-(slope * calibrated.astype(np.float64) + intercept))))
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
