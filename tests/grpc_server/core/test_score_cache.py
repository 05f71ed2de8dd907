"""A pair that was asked before is answered from memory, with the same score, by the same model only."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from grpc_server.core.observer import CacheUse
from grpc_server.core.score_cache import ENTRY_BYTES, ScoreCache
from relevance_model import Bundle, Pairs, Scorer
from tests.support.gated_scorer import GatedScorer

TEXTS = ["red shoes", "usb cable 2 m", "", "cast iron pan", "\ud800", "red shoes"]


def pairs(*rows: tuple[str, str]) -> Pairs:
    return Pairs.from_columns([query for query, _ in rows], [title for _, title in rows])


def all_pairs() -> Pairs:
    return pairs(*((query, title) for query in TEXTS for title in reversed(TEXTS)))


def test_a_cached_pair_is_answered_without_running_the_model(student: Bundle, scorer: Scorer) -> None:
    gated, cache = GatedScorer(student), ScoreCache(1 << 20)
    first, _ = cache.score(gated, pairs(("red shoes", "Red sneakers"), ("usb", "USB cable")))
    again, use = cache.score(gated, pairs(("usb", "USB cable"), ("red shoes", "Red sneakers"), ("usb", "USB cable")))
    assert gated.batches == [2]
    assert use == CacheUse(3, 0)
    assert again.scores.tolist() == first.scores[[1, 0, 1]].tolist()
    assert again.labels.tolist() == first.labels[[1, 0, 1]].tolist()
    assert first.scores == pytest.approx(scorer.score_texts(["red shoes", "usb"], ["Red sneakers", "USB cable"]).scores)


def test_cached_and_missing_rows_and_row_errors_keep_their_places(scorer: Scorer) -> None:
    cache, expected = ScoreCache(1 << 20), scorer.score(all_pairs())
    cache.score(scorer, pairs(("red shoes", "usb cable 2 m"), ("cast iron pan", "red shoes")))
    for _ in range(2):
        result, use = cache.score(scorer, all_pairs())
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5)
        assert result.labels.tolist() == expected.labels.tolist()
        assert result.errors == expected.errors
        assert use.hits + use.misses == len(expected.scores)
    assert use.misses == len(expected.errors)


def test_texts_that_are_the_same_when_put_together_are_different_pairs(scorer: Scorer) -> None:
    cache = ScoreCache(1 << 20)
    cache.score(scorer, pairs(("red shoes", "blue")))
    _, use = cache.score(scorer, pairs(("red", " shoesblue"), ("", "red shoesblue")))
    assert use == CacheUse(0, 2)


def test_the_least_recently_used_entry_is_evicted(scorer: Scorer) -> None:
    cache = ScoreCache(2 * ENTRY_BYTES)
    old, kept, new = pairs(("a", "x")), pairs(("b", "x")), pairs(("c", "x"))
    for each in (kept, old, kept, new):
        cache.score(scorer, each)
    assert [cache.score(scorer, each)[1].hits for each in (kept, new, old)] == [1, 1, 0]
    assert cache.entries(scorer) == cache.capacity == 2


def test_another_model_version_has_scores_of_its_own_which_end_with_it(student: Bundle) -> None:
    cache, one, other = ScoreCache(1 << 20), Scorer(student), Scorer(student)
    cache.score(one, pairs(("a", "x")))
    assert cache.score(other, pairs(("a", "x")))[1] == CacheUse(0, 1)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert len(cache._entries) == 1


def test_without_memory_nothing_is_kept(student: Bundle) -> None:
    gated, cache = GatedScorer(student), ScoreCache(0)
    for _ in range(2):
        assert cache.score(gated, pairs(("a", "x")))[1] == CacheUse(0, 0)
    assert gated.batches == [1, 1]
