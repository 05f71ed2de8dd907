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


def test_with_word_signals_they_see_which_unit_a_number_has() -> None:
    """Both titles have the query's number, one of them as volts: only the signals tell feet from volts."""
    sizes = range(3, 10)
    both = [
        (f"cord {asked}'", f"Cord Black {asked if fits else other}-foot {other if fits else asked} V", fits)
        for asked in sizes
        for other in sizes
        for fits in (True, False)
        if asked != other
    ]
    queries, titles = [query for query, _, _ in both], [title for _, title, _ in both]
    target = np.array([0.95 if fits else 0.05 for _, _, fits in both], dtype=np.float32)

    def measured(*, exact: bool) -> float:
        features = PairFeatures(Bm25(titles), cast(Any, RandomEmbeddings()), exact)
        trees = TreesMember(RECIPE.model_copy(update={"forest": 0}), features, seed=1)
        return auc((target > 0.5).astype(int), trees.fit(queries, titles, target).predict(queries, titles))

    assert measured(exact=True) > 0.99
    assert measured(exact=False) < 0.9
