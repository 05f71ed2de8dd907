"""Calibration and thresholds against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from evaluation.calibration import best_threshold, calibrate, cross_fitted, probability, query_folds
from evaluation.errors import CalibrationError
from evaluation.metrics import calibration_error, f1
from tests.evaluation.test_metrics import SCORED


@given(SCORED, st.integers(0, 100))
def test_the_fit_is_that_of_weighted_logistic_regression(rows: list[tuple[int, int]], seed: int) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    rng = np.random.default_rng(seed)
    logits, weights = scores - 6.0 + rng.normal(0, 0.1, len(scores)), rng.uniform(0.5, 20.0, len(scores))
    library = LogisticRegression(C=1e6, tol=1e-10, max_iter=10_000)
    try:
        expected = library.fit(logits[:, None], labels, sample_weight=weights)
    except ConvergenceWarning:
        # A score that separates the labels has a slope of thousands, which the library's solver does not always find.
        reject()
    theirs = expected.predict_proba(logits[:, None])[:, 1]
    try:
        ours = probability(logits, calibrate(labels, logits, "platt", weights))
    except CalibrationError:
        assert expected.coef_[0, 0] < 1e-3
    else:
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_folds_are_those_of_scikit_learn() -> None:
    groups = np.repeat(np.arange(37), 3)
    theirs = GroupKFold(5, shuffle=True, random_state=4).split(groups, groups=groups)
    for (train, test), (other_train, other_test) in zip(query_folds(groups, 4), theirs, strict=True):
        np.testing.assert_array_equal(train, other_train)
        np.testing.assert_array_equal(test, other_test)


@given(SCORED)
def test_best_threshold_is_the_best_of_all_cuts(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows]) / 13.0
    threshold, claimed = best_threshold(labels, scores)
    assert f1(labels, (scores >= threshold).astype(int)) == pytest.approx(claimed)
    assert claimed == pytest.approx(max(f1(labels, (scores >= cut).astype(int)) for cut in np.unique(scores)))


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
    with pytest.raises(CalibrationError, match="backwards"):
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
