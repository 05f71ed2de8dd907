"""The table of an evaluation: the metrics of several scorers on the same rows, and their paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.baselines import Bm25, token_overlap
from evaluation.calibration import check_cross_fits, cross_fitted
from evaluation.errors import EvaluationError
from evaluation.intervals import auc_interval, effective_rows, share_interval
from evaluation.judged_file import JudgedPairs
from evaluation.metrics import (
    Draws,
    Interval,
    Metric,
    Ranking,
    bootstrap_draws,
    calibration_error,
    f1,
    mean_ndcg,
    precision,
    recall,
)
from evaluation.model_scores import ModelScores

METRICS: Final = {
    "auc": "ROC AUC",
    "average_precision": "average precision",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "ndcg": "NDCG per query",
    "calibration_error": "ECE",
}
LOWER_IS_BETTER: Final = frozenset({"calibration_error"})
SHARED_WORDS: Final = "shared words"
BM25: Final = "BM25"


@dataclass(frozen=True)
class RankedRows:
    """How one scorer ranks and labels the judged rows.

    Attributes
    ----------
    name
        Of the scorer.
    scores
        Any numbers, higher for more relevant, float64 [N].
    predicted
        Labels, 0 or 1, int64 [N]; `None` if the scorer has no threshold.
    calibrated
        Whether the scores are meant as probabilities.
    """

    name: str
    scores: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.int64] | None
    calibrated: bool

    def metrics(self, judged: JudgedPairs) -> dict[str, Metric]:
        """Return the metrics that can be computed, by name; a sample has too few rows of a query for NDCG."""
        relevant = judged.relevant
        ranking = Ranking(relevant, self.scores)
        metrics: dict[str, Metric] = {"auc": ranking.auc, "average_precision": ranking.average_precision}
        if self.predicted is not None:
            metrics["precision"] = partial(precision, relevant, self.predicted)
            metrics["recall"] = partial(recall, relevant, self.predicted)
            metrics["f1"] = partial(f1, relevant, self.predicted)
        if judged.sample == "none":
            metrics["ndcg"] = mean_ndcg(judged.gain, self.scores, judged.groups)
        if self.calibrated:
            metrics["calibration_error"] = partial(calibration_error, relevant, self.scores)
        return metrics


Bounds = tuple[float, float]


@dataclass(frozen=True)
class MeasuredTable:
    """The metrics of all scorers over the same resamples, by name of scorer and metric.

    Attributes
    ----------
    draws
        Values over the resamples.
    bounds
        Score intervals of shares and of the area under the ROC curve: an interval is at least as wide.
    confidence
        Of the intervals.
    """

    draws: dict[tuple[str, str], Draws]
    bounds: dict[tuple[str, str], Bounds]
    confidence: float

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers."""
        return list(dict.fromkeys(scorer for scorer, _ in self.draws))

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """Return a metric; `None` if the scorer has none of that name."""
        draws = self.draws.get((scorer, metric))
        if draws is None:
            return None
        interval = draws.interval(self.confidence)
        low, high = self.bounds.get((scorer, metric), (interval.low, interval.high))
        return Interval(interval.value, float(np.fmin(interval.low, low)), float(np.fmax(interval.high, high)))

    def difference(self, scorer: str, other: str, metric: str) -> Interval:
        """Return a metric of one scorer less that of another, with the interval of the paired bootstrap."""
        return (self.draws[scorer, metric] - self.draws[other, metric]).interval(self.confidence)


def ranked_by_model(model: ModelScores, name: str) -> RankedRows:
    """Return the rows as a model ranks and labels them."""
    return RankedRows(name, model.scores, model.predicted(), calibrated=True)


def ranked_by_baselines(judged: JudgedPairs, *, seed: int) -> list[RankedRows]:
    """Return the rows as shared words and BM25 rank them; their thresholds of the best F1 are of other queries."""
    index = Bm25(list(dict.fromkeys(judged.titles)))
    scores = {
        SHARED_WORDS: token_overlap(judged.queries, judged.titles),
        BM25: np.array([index.score(q, t) for q, t in zip(judged.queries, judged.titles, strict=True)]),
    }
    groups = judged.groups
    try:
        check_cross_fits(judged.relevant, groups, seed=seed)
    except EvaluationError:
        return [RankedRows(name, values, None, calibrated=False) for name, values in scores.items()]
    ranked = []
    for name, values in scores.items():
        _, predicted = cross_fitted(judged.relevant, values, groups, "platt", seed=seed, weights=judged.weights)
        ranked.append(RankedRows(name, values, predicted, calibrated=False))
    return ranked


def measure(
    judged: JudgedPairs, ranked: Sequence[RankedRows], *, resamples: int, confidence: float, seed: int
) -> MeasuredTable:
    """Measure all scorers on the same rows and resamples."""
    metrics = {(rows.name, name): metric for rows in ranked for name, metric in rows.metrics(judged).items()}
    draws = bootstrap_draws(metrics, judged.groups, resamples=resamples, seed=seed, weights=judged.weights)
    bounds = {
        (rows.name, name): bound
        for rows in ranked
        for name, bound in _score_bounds(judged, rows, draws, confidence).items()
    }
    return MeasuredTable(draws, bounds, confidence)


def _score_bounds(
    judged: JudgedPairs, rows: RankedRows, draws: dict[tuple[str, str], Draws], confidence: float
) -> dict[str, Bounds]:
    weights = np.ones(len(judged)) if judged.weights is None else judged.weights
    positives, negatives = (effective_rows(weights[judged.relevant == one]) for one in (1, 0))
    bounds = {}
    if positives > 0 and negatives > 0:
        bounds["auc"] = auc_interval(draws[rows.name, "auc"].value, positives, negatives, confidence)
    if rows.predicted is not None:
        for name, counted in (("precision", effective_rows(weights[rows.predicted == 1])), ("recall", positives)):
            if counted > 0:
                bounds[name] = share_interval(draws[rows.name, name].value, counted, confidence)
    return bounds
