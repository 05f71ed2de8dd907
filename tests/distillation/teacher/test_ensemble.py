"""The teacher's weights, and the probability that stands for a cosine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillation.pipeline.workspace import Context
from distillation.recipe.recipe import Recipe
from distillation.teacher.ensemble import CROSS_ENCODER, TREES, combine, cosine_probability


@pytest.fixture
def context(tmp_path: Path) -> Context:
    judged = {"format": "table", "path": "j.tsv", "labels": {"a": 1.0, "b": 0.0}}
    settings = {"cross_weight": 3.0, "trees_weight": 1.0}
    return Context(Recipe.model_validate({"data": {"judged": [judged]}, "finetune": settings}), tmp_path, tmp_path)


def test_the_teacher_is_the_weighted_mean_of_the_members_that_it_has(context: Context) -> None:
    cross, trees = np.array([1.0, np.nan], dtype=np.float32), np.array([-1.0, 2.0], dtype=np.float32)
    np.testing.assert_allclose(combine(context, {CROSS_ENCODER: cross, TREES: trees}), [0.5, np.nan])
    np.testing.assert_allclose(combine(context, {TREES: trees}), trees)


def test_a_cosine_at_the_centre_is_even_odds(context: Context) -> None:
    centre = context.recipe.pseudo_label.cosine_centre
    low, even, high = cosine_probability(context, np.array([centre - 0.3, centre, centre + 0.3], dtype=np.float32))
    assert even == pytest.approx(0.5)
    assert low < 0.1
    assert high > 0.9
