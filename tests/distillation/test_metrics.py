"""Measures against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, ndcg_score, roc_auc_score

from distillation.errors import TrainingError
from distillation.metrics import (
    Ranking,
    best_threshold,
    bootstrap,
    calibrate,
    calibration_error,
    cross_fitted,
    f1,
    probability,
    query_ndcg,
)

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
    repeated = f1_score(again[0], np.repeat(said, times), zero_division=0.0)
    assert f1(labels, said, times.astype(float)) == pytest.approx(repeated)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=12))
def test_ndcg_of_one_query(rows: list[tuple[int, int]]) -> None:
    gains, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    (seen,) = query_ndcg(gains, scores, np.zeros(len(rows), dtype=int))
    if len(set(gains)) == 1:
        assert np.isnan(seen)
    else:
        assert seen == pytest.approx(ndcg_score([gains], [scores]))


@given(SCORED)
def test_best_threshold_is_the_best_of_all_cuts(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows]) / 13.0
    threshold, claimed = best_threshold(labels, scores)
    assert f1(labels, (scores >= threshold).astype(int)) == pytest.approx(claimed)
    assert claimed == pytest.approx(max(f1(labels, (scores >= cut).astype(int)) for cut in np.unique(scores)))


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


@pytest.mark.parametrize(("kind", "intercept"), [("platt", 1.0), ("temperature", 0.0)])
def test_a_known_calibration_is_recovered(kind: str, intercept: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < probability(logits, (0.5, intercept))).astype(int)
    slope, shift = calibrate(labels, logits, kind)  # type: ignore[arg-type]
    assert slope == pytest.approx(0.5, abs=0.05)
    assert shift == pytest.approx(intercept, abs=0.05)
    assert calibration_error(labels, probability(logits, (slope, shift))) < 0.02
    assert calibration_error(labels, probability(logits, (3.0, shift))) > 0.1


def test_a_backward_ranking_is_refused() -> None:
    with pytest.raises(TrainingError, match="backwards"):
        calibrate(np.array([0, 0, 1, 1] * 3), np.array([2.0, 0.5, -0.5, 1.0] * 3), "platt")


def test_a_cross_fitted_score_knows_nothing_of_its_own_query() -> None:
    """Turning round one query's labels must leave that query's scores as they were."""
    rng = np.random.default_rng(0)
    groups = np.arange(200) // 10
    labels = np.tile([0, 1], 100)
    logits = labels + rng.normal(0, 1.0, 200)
    own = groups == 7
    before, said = cross_fitted(labels, logits, groups, "platt", seed=0)
    turned = np.where(own, 1 - labels, labels)
    after, said_after = cross_fitted(turned, logits, groups, "platt", seed=0)
    np.testing.assert_array_equal(before[own], after[own])
    np.testing.assert_array_equal(said[own], said_after[own])
    assert np.any(before[~own] != after[~own])


def test_a_scorer_that_knows_nothing_says_the_share_of_relevant_rows() -> None:
    groups = np.arange(100) // 10
    labels = np.tile([0, 0, 0, 1], 25)
    scores, _ = cross_fitted(labels, -labels.astype(float), groups, "platt", seed=0)
    assert np.all(np.abs(scores - 0.25) < 0.05)
