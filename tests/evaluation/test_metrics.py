"""Measures against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    ndcg_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from evaluation.metrics import Ranking, bootstrap, f1, precision, query_ndcg, recall

SCORED = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 12)), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


@given(SCORED, st.integers(0, 100))
def test_weighted_measures_are_those_of_repeated_rows(rows: list[tuple[int, int]], seed: int) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    times = np.random.default_rng(seed).integers(1, 4, len(rows))
    ranking = Ranking(labels, scores / 7.0)
    assert ranking.auc() == pytest.approx(roc_auc_score(labels, scores))
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores))
    again = np.repeat(labels, times), np.repeat(scores, times)
    assert ranking.auc(times.astype(float)) == pytest.approx(roc_auc_score(*again))
    assert ranking.average_precision(times.astype(float)) == pytest.approx(average_precision_score(*again))
    said = (scores > 6).astype(int)
    for ours, theirs in ((f1, f1_score), (precision, precision_score), (recall, recall_score)):
        expected = theirs(again[0], np.repeat(said, times), zero_division=np.nan if ours is precision else 0.0)
        assert ours(labels, said, times.astype(float)) == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=12))
def test_ndcg_of_one_query(rows: list[tuple[int, int]]) -> None:
    gains, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    (seen,) = query_ndcg(gains, scores, np.zeros(len(rows), dtype=int))
    if len(set(gains)) == 1:
        assert np.isnan(seen)
    else:
        assert seen == pytest.approx(ndcg_score([gains], [scores]))


def test_the_bootstrap_draws_whole_queries() -> None:
    """Rows of one query repeated tenfold are no more evidence: the interval must stay as wide."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    scores = labels + rng.normal(0, 1.0, 60)
    groups = np.arange(60) // 4

    def interval(times: int) -> tuple[float, float, float]:
        ranking = Ranking(np.repeat(labels, times), np.repeat(scores, times))
        seen = bootstrap(ranking.auc, np.repeat(groups, times), resamples=300, confidence=0.9, seed=1)
        return seen.low, seen.value, seen.high

    low, value, high = interval(1)
    assert low < value < high
    assert interval(10) == pytest.approx((low, value, high))
