"""Measures of a ranking of judged pairs, and how sure they are.

Rows of one query hang together, so the bootstrap draws queries with replacement, not rows (Efron & Tibshirani, 1993;
the cluster bootstrap), and the interval is the percentile interval.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
_WORD = re.compile(r"[a-z0-9]+")


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


def auc(labels: Ints, scores: Floats) -> float:
    """Return the area under the ROC curve: the chance that a relevant row outscores another."""
    return float(roc_auc_score(labels, scores))


def average_precision(labels: Ints, scores: Floats) -> float:
    """Return average precision (the step-wise area under precision over recall)."""
    return float(average_precision_score(labels, scores))


def bootstrap(
    measure: Callable[[Ints, Floats], float],
    labels: Ints,
    scores: Floats,
    groups: Ints,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return ``measure(labels, scores)`` with the percentile interval of a bootstrap over ``groups`` (all [N])."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values: list[float] = []
    while len(values) < resamples:
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), size=len(members))])
        if 0 < labels[rows].sum() < len(rows):
            values.append(measure(labels[rows], scores[rows]))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Interval(measure(labels, scores), float(low), float(high))


def token_overlap(queries: Sequence[str], titles: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the share of each query's distinct words (runs of a-z, 0-9) that its title holds too; float64 [N]."""
    shares = []
    for query, title in zip(queries, titles, strict=True):
        words = set(_WORD.findall(query.lower()))
        shares.append(len(words & set(_WORD.findall(title.lower()))) / len(words) if words else 0.0)
    return np.array(shares)


def platt(labels: Ints, logits: Floats) -> tuple[float, float]:
    """Fit ``P(relevant) = sigmoid(slope * logit + intercept)`` (Platt, 1999); returns slope and intercept."""
    model = LogisticRegression(C=1e6).fit(np.asarray(logits).reshape(-1, 1), labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def best_threshold(labels: Ints, scores: Floats) -> tuple[float, float]:
    """Return the threshold of the highest F1 for ``score >= threshold``, and that F1."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    f1 = 2.0 * hits / (np.arange(1, len(order) + 1) + labels.sum())
    # Equal scores fall on one side together: only the last row of a run of equals can be a cut.
    ranked = scores[order]
    f1[:-1][ranked[:-1] == ranked[1:]] = -1.0
    cut = int(np.argmax(f1))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
    return float((ranked[cut] + below) / 2.0), float(f1[cut])
