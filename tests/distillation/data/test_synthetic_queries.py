"""Crops of titles and random phrases."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from distillation.data.synthetic_queries import crops, phrases

TITLES = ["red canvas shoes 42", "blue canvas bag", "steel kitchen knife", "oak kitchen table 90 cm"]


def test_a_crop_comes_with_its_title_a_similar_and_a_random_one() -> None:
    queries, titles = crops(TITLES, 40, 3, np.random.default_rng(1))
    of_query = defaultdict(list)
    for query, title in zip(queries, titles, strict=True):
        of_query[query].append(title)
    assert len(of_query) > 5
    for query, (own, similar, drawn) in of_query.items():
        assert f" {query} " in f" {own} "
        assert set(query.split()) & set(similar.split())
        assert drawn in TITLES
        assert 1 <= len(query.split()) <= 4
        assert any(word.isalpha() for word in query.split())


def test_no_titles_give_no_crops() -> None:
    assert crops([], 10, 3, np.random.default_rng(1)) == ([], [])


def test_every_other_phrase_has_its_own_query() -> None:
    queries, titles = phrases(["red", "usb hub", "lamp", "oak"], 200, np.random.default_rng(1))
    own = [set(query.split()) <= set(title.split()) for query, title in zip(queries, titles, strict=True)]
    assert all(own[::2])
    assert not all(own[1::2])
    assert phrases([], 10, np.random.default_rng(1)) == ([], [])
