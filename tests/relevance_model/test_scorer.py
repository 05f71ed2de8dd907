"""A score is a property of the pair: it does not depend on the batch, its order, its size or the cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relevance_model import Bundle, Pairs, Scorer
from relevance_model.scorer import CHUNK_ROWS
from tests.support.small_bundles import WORDS, cross_encoder, nan_pair_graph, twin_encoder

Pair = tuple[str, str]
TOLERANCE = 1e-5

WORDS_OF_SHOPS = """red blue running shoes women's size 42 usb-c cable 2m phone case for kestrel x9 sofa 3 seater
    grey 500ml shampoo coffee grinder replacement filter 12v drill bit set kids bike helmet 🎧 سماعات ヘッドホン"""
words = st.sampled_from(WORDS_OF_SHOPS.split())
phrases = st.lists(words, min_size=1, max_size=40).map(" ".join)
pair_lists = st.lists(st.tuples(phrases, phrases), min_size=1, max_size=80)


def columns(pairs: list[Pair]) -> Pairs:
    return Pairs.from_columns([query for query, _ in pairs], [title for _, title in pairs])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=pair_lists, data=st.data())
def test_a_score_does_not_depend_on_its_batch(
    scorer: Scorer, student: Bundle, pairs: list[Pair], data: st.DataObject
) -> None:
    together = scorer.score(columns(pairs))
    order = data.draw(st.permutations(range(len(pairs))))
    shuffled = scorer.score(columns([pairs[i] for i in order]))
    cut = data.draw(st.integers(0, len(pairs)))
    cold = Scorer(student, cache_bytes=0, micro_batch=data.draw(st.sampled_from([1, 2, 7, 64])))
    parts = [cold.score(columns(part)) for part in (pairs[:cut], pairs[cut:]) if part]
    alone = scorer.score(columns([pairs[order[0]]]))
    apart = np.concatenate([part.scores for part in parts])
    assert not together.errors
    assert np.abs(shuffled.scores - together.scores[list(order)]).max() <= TOLERANCE
    assert np.abs(apart - together.scores).max() <= TOLERANCE
    assert abs(alone.scores[0] - together.scores[order[0]]) <= TOLERANCE
    assert shuffled.labels.tolist() == together.labels[list(order)].tolist()
    assert np.concatenate([part.labels for part in parts]).tolist() == together.labels.tolist()


def test_dictionary_encoding_changes_nothing(scorer: Scorer) -> None:
    queries, titles = ["red shoes", "usb c cable"], ["Kestrel red shoes 42", "USB-C cable 2 m", "grey sofa"]
    rows = [(q, t) for q in range(2) for t in range(3)] * 2
    encoded = scorer.score(Pairs.from_columns(queries, titles, [q for q, _ in rows], [t for _, t in rows]))
    plain = scorer.score(columns([(queries[q], titles[t]) for q, t in rows]))
    assert encoded.scores.tolist() == plain.scores.tolist()
    assert encoded.scores[:6].tolist() == encoded.scores[6:].tolist()


def test_a_relevant_title_scores_above_an_irrelevant_one(scorer: Scorer) -> None:
    result = scorer.score_texts(
        ["gaming laptop"],
        ["Gaming laptop 15.6 inch, 16 GB RAM, 1 TB SSD", "Office chair with armrests, black"],
        [0, 0],
    )
    assert result.scores[0] > result.scores[1]
    assert ((result.scores >= 0) & (result.scores <= 1)).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("   \t\n", "has no readable character"),
        ("\u0001\u0002", "has no readable character"),
        ("\u200b", "has no readable character"),
        ("a\ud83d", "is not valid UTF-8"),
        ("x" * 100_000, "has 100000 bytes, the limit is 8192"),
        ("é" * 5_000, "has 10000 bytes, the limit is 8192"),
    ],
    ids=["empty", "blank", "control", "zero-width", "surrogate", "100,000 characters", "bytes, not characters"],
)
def test_a_bad_row_keeps_its_place_and_its_reason(scorer: Scorer, text: str, reason: str) -> None:
    good = ("red shoes", "red canvas shoes")
    result = scorer.score(columns([good, (text, good[1]), (good[0], text), (text, text), good]))
    assert result.errors == {1: f"query {reason}", 2: f"title {reason}", 3: f"query {reason}; title {reason}"}
    assert np.isnan(result.scores[1:4]).all()
    assert result.scores[0] == result.scores[4] == scorer.score(columns([good])).scores[0]


@pytest.mark.parametrize(
    "text",
    [
        "سماعات بلوتوث",
        "מעיל חורף",
        "ノートパソコン 15インチ",
        "🎧🎧🎧",
        "cafe\u0301",
        "a &amp; b",
        "a\u0000b",
        "A" * 500,
    ],
)
def test_odd_but_readable_texts_are_scored(scorer: Scorer, text: str) -> None:
    result = scorer.score(columns([(text, text)]))
    assert not result.errors
    assert 0 <= result.scores[0] <= 1


def test_no_rows_give_no_scores(scorer: Scorer) -> None:
    result = scorer.score(Pairs.from_columns([], []))
    assert len(result.scores) == len(result.labels) == len(result.errors) == 0


def test_more_rows_than_a_chunk_and_more_texts_than_the_cache(student: Bundle) -> None:
    small = Scorer(student, cache_bytes=0)
    pairs = [(f"shoe size {i % 50}", f"running shoe number {i}") for i in range(CHUNK_ROWS + 100)]
    pairs[CHUNK_ROWS + 1] = ("", "x")
    result = small.score(columns(pairs))
    again = small.score(columns(pairs[CHUNK_ROWS - 20 :]))
    assert list(result.errors) == [CHUNK_ROWS + 1]
    np.testing.assert_allclose(result.scores[CHUNK_ROWS - 20 :], again.scores, atol=TOLERANCE)


def test_callers_on_many_threads_get_their_own_scores(student: Bundle) -> None:
    shared = Scorer(student, cache_bytes=0)
    batches = [[(f"lamp {i}", f"desk lamp {j}") for j in range(i % 7 + 1)] for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda batch: shared.score(columns(batch)).scores, batches))
    for batch, scores in zip(batches, results, strict=True):
        np.testing.assert_allclose(scores, shared.score(columns(batch)).scores, atol=TOLERANCE)


def test_calibration_and_threshold_come_from_the_bundle(tmp_path: Path) -> None:
    bundle = cross_encoder(tmp_path / "b")
    # [CLS]=2 red=4 [SEP]=3 against red=4 [SEP]=3: logit 9 - 7 = 2.
    result = Scorer(bundle).score_texts(["red", "red"], ["red", "blue boots"])
    assert result.scores[0] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert result.labels.tolist() == [1, 0]


def test_a_pair_without_a_number_is_a_row_at_fault(tmp_path: Path) -> None:
    cross_encoder(tmp_path / "b")
    nan_pair_graph(tmp_path / "b")
    scorer = Scorer(Bundle.load(tmp_path / "b"))
    why = "the model gives no number for this pair"
    assert scorer.score_texts(["red", "", "hat"], ["hat", "hat", "red"]).errors == {0: why, 1: "query is empty", 2: why}
    assert scorer.score_texts(["red"], ["hat"]).errors == {0: why}


def expected_cross(query: str, title: str) -> float:
    ids = [[WORDS.index(word) for word in text.split()] for text in (query, title)]
    return 2 + sum(ids[0][:2]) + 3 - sum(ids[1][:4]) - 3


def expected_twin(query: str, title: str) -> float:
    ids = [[WORDS.index(word) for word in text.split()] for text in (query, title)]
    states = [(sum([2, *ids[0][:2], 3]), len(ids[0][:2]) + 2), (sum([*ids[1][:4], 3]), len(ids[1][:4]) + 1)]
    return (states[0][0] * states[1][0] + states[0][1] * states[1][1]) / 100


known = st.lists(st.sampled_from(WORDS[4:]), min_size=1, max_size=7).map(" ".join)


@pytest.mark.parametrize(("make", "expected"), [(cross_encoder, expected_cross), (twin_encoder, expected_twin)])
def test_other_kinds_of_models_run_through_the_same_scorer(
    tmp_path: Path, make: Callable[[Path], Bundle], expected: Callable[[str, str], float]
) -> None:
    scorer = Scorer(make(tmp_path / "b"), micro_batch=3)

    @settings(max_examples=30)
    @given(st.lists(st.tuples(known, known), min_size=1, max_size=12))
    def check(pairs: list[Pair]) -> None:
        logits = np.array([expected(*pair) for pair in pairs])
        np.testing.assert_allclose(scorer.score(columns(pairs)).scores, 1 / (1 + np.exp(-logits)), atol=1e-6)

    check()


def test_the_cache_is_divided_as_asked(student: Bundle) -> None:
    even, by_title = (Scorer(student, cache_bytes=64 << 20, title_cache_share=share) for share in (0.5, 0.1))
    assert by_title.queries.cache.capacity == pytest.approx(1.8 * even.queries.cache.capacity, rel=0.01)
    assert by_title.titles.cache.capacity < even.titles.cache.capacity
