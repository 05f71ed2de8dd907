"""A threshold has what it was chosen for, and no other threshold is better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.aims import Aim
from evaluation.errors import CalibrationError
from evaluation.metrics import precision, recall

ROWS = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 20), st.integers(1, 4)), min_size=12, max_size=60)


@given(ROWS, st.sampled_from(["precision=0.6", "precision=0.9", "recall=0.5", "recall=0.95", "recall=1"]))
def test_a_threshold_has_what_it_was_chosen_for(rows: list[tuple[int, int, int]], text: str) -> None:
    labels, scores, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    labels, scores = labels.astype(int), scores / 21.0
    if not labels.any():
        labels[0] = 1
    aim = Aim.parse(text)
    assert str(aim) == text
    cuts = [cut for cut in np.unique(scores) if (scores >= cut).sum() >= 10 or aim.measure == "recall"]
    measure = precision if aim.measure == "precision" else recall
    reaching = [cut for cut in cuts if measure(labels, scores >= cut, weights) >= aim.share - 1e-9]
    if not reaching:
        with pytest.raises(CalibrationError, match="no threshold has a precision of"):
            aim.threshold(labels, scores, weights)
        return
    wanted = min(reaching) if aim.measure == "precision" else max(reaching)
    threshold = aim.threshold(labels, scores, weights)
    np.testing.assert_array_equal(scores >= threshold, scores >= wanted)
    assert aim.nearest_threshold(labels, scores, weights) == threshold


@pytest.mark.parametrize("text", ["", "f2", "precision", "precision=0", "recall=1.1", "recall=x", "f1=0.9"])
def test_what_is_no_aim_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected f1, precision=SHARE or recall=SHARE"):
        Aim.parse(text)
