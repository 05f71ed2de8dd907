"""The trees: they learn word overlap, within the bounds of a logit, and reproducibly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from distillation.recipe.recipe import Trees
from distillation.teacher.trees import PairFeatures, TreesMember
from evaluation.baselines import Bm25
from evaluation.metrics import auc

KINDS = ("lamp", "desk", "shoes", "laptop")
RECIPE = Trees(components=2, iterations=20, seeds=2, forest=10)


class RandomEmbeddings:
    """Unit vectors that say nothing about a text."""

    def of(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.random.default_rng(0).normal(size=(len(texts), 4))
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float16)


@pytest.fixture(scope="module")
def pairs() -> tuple[list[str], list[str], np.ndarray]:
    """Return every kind as a query with titles of every kind, relevant if they are the same."""
    both = [(kind, f"{other} number {n}", kind == other) for kind in KINDS for other in KINDS for n in range(12)]
    target = np.array([0.95 if same else 0.05 for _, _, same in both], dtype=np.float32)
    return [query for query, _, _ in both], [title for _, title, _ in both], target


def member(titles: Sequence[str], recipe: Trees = RECIPE) -> TreesMember:
    return TreesMember(recipe, PairFeatures(Bm25(titles), cast(Any, RandomEmbeddings())), seed=1)


def test_they_learn_from_probabilities(pairs: tuple[list[str], list[str], np.ndarray]) -> None:
    queries, titles, target = pairs
    logits = member(titles).fit(queries, titles, target).predict(queries, titles)
    assert auc((target > 0.5).astype(int), logits) > 0.95
    assert np.abs(logits).max() <= 8.0
    again = member(titles).fit(queries, titles, target).predict(queries, titles)
    np.testing.assert_array_equal(again, logits)


def test_without_a_forest_only_the_boosted_trees_count(pairs: tuple[list[str], list[str], np.ndarray]) -> None:
    queries, titles, target = pairs
    boosted = member(titles, RECIPE.model_copy(update={"forest": 0})).fit(queries, titles, target)
    both = member(titles).fit(queries, titles, target)
    assert not np.array_equal(boosted.predict(queries, titles), both.predict(queries, titles))
