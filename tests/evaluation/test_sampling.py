"""Samples: estimates without bias, exact numbers of rows, and every row drawn as often as it is said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import Ranking, precision, recall
from evaluation.sampling import ScoreHistogram, Strata, draw, strata_for


def strata(scores: np.ndarray, rows: int) -> Strata:
    histogram = ScoreHistogram()
    for part in np.array_split(scores, 7):
        histogram.add(part)
    return strata_for(histogram, rows)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.integers(1, 400), st.integers(1, 60), st.integers(0, 9)
)
def test_a_stratum_gives_the_rows_that_were_promised(values: list[int], rows: int, batch: int, seed: int) -> None:
    scores = np.array(values) / 1000.0
    found = strata(scores, rows)
    assert found.sizes.sum() == len(scores)
    assert (found.drawn <= found.sizes).all()
    assert (found.drawn >= 1).all()
    # Each stratum gets a few rows, so that a small sample may be larger than asked for.
    assert min(rows, len(scores)) <= found.drawn.sum() <= min(max(rows, 5 * len(found)), len(scores))
    assert np.bincount(found.of(scores), minlength=len(found)).tolist() == found.sizes.tolist()
    batches = [scores[start : start + batch] for start in range(0, len(scores), batch)]
    drawn, shares = draw(found, batches, np.random.default_rng(seed))
    everything = np.concatenate([own + start * batch for start, own in enumerate(drawn)])
    assert len(set(everything.tolist())) == len(everything)
    of = found.of(scores[everything])
    assert np.bincount(of, minlength=len(found)).tolist() == found.drawn.tolist()
    np.testing.assert_array_equal(np.concatenate(shares), found.inclusion_probabilities()[of])


def test_weighted_figures_of_samples_are_on_average_those_of_the_table() -> None:
    """Relevant rows are rare and the model is badly calibrated; unweighted figures are far off."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-3.0, 2.0, 20_000)
    relevant = (rng.random(20_000) < 1 / (1 + np.exp(1.0 - 0.7 * logits))).astype(int)
    scores = 1 / (1 + np.exp(-logits))
    found = strata(scores, 300)

    def figures(rows: np.ndarray, weights: np.ndarray | None) -> list[float]:
        said = (scores[rows] >= 0.5).astype(int)
        return [
            precision(relevant[rows], said, weights),
            recall(relevant[rows], said, weights),
            Ranking(relevant[rows], scores[rows]).auc(weights),
        ]

    whole = np.array(figures(np.arange(20_000), None))
    weighted, plain = [], []
    for seed in range(200):
        (rows,), (shares,) = draw(found, [scores], np.random.default_rng(seed))
        weighted.append(figures(rows, 1.0 / shares))
        plain.append(figures(rows, None))
    error = np.std(weighted, axis=0) / np.sqrt(len(weighted))
    # A ratio of estimates is off by less than its spread of one sample, divided by the rows.
    assert (np.abs(np.mean(weighted, axis=0) - whole) < 4 * error + 0.01).all()
    assert np.abs(np.mean(plain, axis=0) - whole).max() > 0.05
