"""What an evaluation found, as numbers: `evaluation.json` has them all, and none of the texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from evaluation.calibration import best_threshold
from evaluation.errors import DataError
from evaluation.intervals import effective_rows, share_interval
from evaluation.judged_file import JudgedPairs
from evaluation.measures import (
    LOWER_IS_BETTER,
    METRICS,
    MeasuredTable,
    RankedRows,
    measure,
    ranked_by_baselines,
    ranked_by_model,
)
from evaluation.metrics import Interval
from evaluation.model_scores import ModelScores
from evaluation.slices import Slice, slices

Verdict = Literal["better", "worse", "no difference shown"]
MODEL: Final = "model"
AGAINST: Final = "against"
_BINS: Final = 10
# An interval of a slice needs less precision than one of the table.
_SLICE_SHARE: Final = 5


@dataclass(frozen=True)
class Options:
    """How intervals are computed: resamples of the bootstrap, their confidence, and the seed of every random choice."""

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose scores are in one tenth: their number, mean score, and share of relevant rows with its interval."""

    rows: int
    score: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured.

    Attributes
    ----------
    source
        Name of the judged file.
    judged
        The rows that were measured: those with a score by every model.
    model, against
        Scores of the model, and of the one that it is compared with, if any.
    ranked, table
        The scorers, models first, and their metrics; the model's name is `MODEL`, the other's `AGAINST`.
    parts
        The model's metrics on parts of the rows.
    unscored
        Rows without a score, by reason.
    options
        How intervals were computed.
    """

    source: str
    judged: JudgedPairs
    model: ModelScores
    against: ModelScores | None
    ranked: list[RankedRows]
    table: MeasuredTable
    parts: list[Slice]
    unscored: dict[str, int]
    options: Options

    def title(self, scorer: str) -> str:
        """Return a scorer's name for readers."""
        if scorer == MODEL:
            return self.model.title
        return self.against.title if scorer == AGAINST and self.against is not None else scorer

    def difference(self, metric: str) -> Interval | None:
        """Return the model's metric less that of the other model; `None` without another."""
        if self.against is None or self.table.interval(MODEL, metric) is None:
            return None
        return self.table.difference(MODEL, AGAINST, metric)

    def verdict(self, metric: str) -> Verdict:
        """Return whether the interval of the difference lies on one side of 0."""
        difference = self.difference(metric)
        if difference is None or not (difference.low > 0.0 or difference.high < 0.0):
            return "no difference shown"
        return "better" if (difference.low > 0.0) != (metric in LOWER_IS_BETTER) else "worse"

    def best_f1(self) -> tuple[float, float]:
        """Return the model's threshold of the highest F1 on these rows, and that F1."""
        return best_threshold(self.judged.relevant, self.model.scores, self.judged.weights)

    def reliability(self) -> list[ReliabilityBin]:
        """Return the tenths of the scores that have rows."""
        return reliability(self.judged, self.model.scores, self.options.confidence)

    def worst(self, relevant: int, count: int) -> npt.NDArray[np.int64]:
        """Return the rows with a wrong label that are `relevant` (0 or 1) and furthest from the threshold."""
        wrong = np.flatnonzero((self.judged.relevant == relevant) & (self.model.predicted() != relevant))
        distance = np.abs(self.model.scores[wrong] - self.model.threshold)
        return wrong[np.argsort(-distance, kind="stable")][:count]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers."""
        judged = self.judged
        threshold, value = self.best_f1()
        result: dict[str, Any] = {
            "judged": {
                "file": self.source,
                "rows": len(judged),
                "queries": int(judged.groups.max()) + 1,
                "relevant": int(judged.relevant.sum()),
                "sample": judged.sample,
                "rows_represented": None if judged.weights is None else round(float(judged.weights.sum())),
                "without_label": judged.unjudged,
                "unreadable": judged.unreadable,
                "unscored": self.unscored,
            },
            "model": _model(self.model),
            "options": {
                "resamples": self.options.resamples,
                "confidence": self.options.confidence,
                "seed": self.options.seed,
            },
            "metrics": {
                scorer: {
                    name: interval.as_numbers()
                    for name in METRICS
                    if (interval := self.table.interval(scorer, name)) is not None
                }
                for scorer in self.table.scorers
            },
            "best_f1": {"threshold": threshold, "f1": value},
            "reliability": [vars(one) for one in self.reliability()],
            "slices": [
                {**vars(part), "metrics": {name: one.as_numbers() for name, one in part.metrics.items()}}
                for part in self.parts
            ],
        }
        if self.against is not None:
            result["against"] = _model(self.against)
            result["difference"] = {
                name: {**difference.as_numbers(), "verdict": self.verdict(name)}
                for name in METRICS
                if (difference := self.difference(name)) is not None
            }
        finite: dict[str, Any] = _finite(result)
        return finite


def evaluate(
    source: str, judged: JudgedPairs, model: ModelScores, against: ModelScores | None, options: Options
) -> Evaluation:
    """Measure a model, another one if there is one, and the baselines.

    Raises
    ------
    DataError
        If no row has a score.
    """
    unscored: dict[str, int] = {}
    kept = np.ones(len(judged), dtype=bool)
    for scores in filter(None, (model, against)):
        for row, reason in scores.errors.items():
            if kept[row]:
                unscored[reason] = unscored.get(reason, 0) + 1
                kept[row] = False
    rows = np.flatnonzero(kept)
    if not len(rows):
        raise DataError(f"{source}: no row has a score ({next(iter(unscored), 'the file has no rows')})")
    judged, model = judged.take(rows), model.take(rows)
    against = None if against is None else against.take(rows)
    ranked = [ranked_by_model(model, MODEL)]
    if against is not None:
        ranked.append(ranked_by_model(against, AGAINST))
    ranked += ranked_by_baselines(judged, seed=options.seed)
    table = measure(judged, ranked, resamples=options.resamples, confidence=options.confidence, seed=options.seed)
    parts = slices(
        judged,
        model,
        resamples=max(1, options.resamples // _SLICE_SHARE),
        confidence=options.confidence,
        seed=options.seed,
    )
    return Evaluation(source, judged, model, against, ranked, table, parts, unscored, options)


def reliability(judged: JudgedPairs, scores: npt.NDArray[np.float64], confidence: float) -> list[ReliabilityBin]:
    """Return the tenths of the scores that have rows, with intervals of the share of relevant rows.

    Rows of a sample count by their weights.
    """
    weights = np.ones(len(judged)) if judged.weights is None else judged.weights
    bins = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    found = []
    for number in range(_BINS):
        rows = np.flatnonzero(bins == number)
        if not len(rows):
            continue
        weight = weights[rows]
        share = float(np.average(judged.relevant[rows], weights=weight))
        low, high = share_interval(share, effective_rows(weight), confidence)
        found.append(ReliabilityBin(len(rows), float(np.average(scores[rows], weights=weight)), share, low, high))
    return found


def _model(scores: ModelScores) -> dict[str, Any]:
    return {
        "name": scores.name,
        "version": scores.version,
        "sha256": scores.sha256,
        "threshold": scores.threshold,
    }


def _finite(value: Any) -> Any:
    """Return a value without NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
