"""Contributions of words: they sum to what `score` says, and each coalition is a pair that anyone can score."""

from __future__ import annotations

import gc
import weakref
from itertools import permutations
from math import factorial, log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relevance_model import Bundle, Explainer, Explanation, RequestError, Scorer
from relevance_model.explanation import baseline_of, baseline_pairs
from relevance_model.tokenizer import TextTokenizer
from relevance_model.wordpiece import WordPieces
from relevance_model.words import words_of
from tests.support.small_bundles import cross_encoder, nan_pair_graph

TOLERANCE = 1e-4
LONG_TITLE = "ACDelco Professional 36-365453 Power Steering Pressure Line Hose Assembly for trucks, black, 2 pieces"
texts = st.text(st.sampled_from("ab9 -,\u00e9\u0301\u96fb\u30b1\u200b\x85\x1c\u3000☃"), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def explainer(scorer: Scorer) -> Explainer:
    return Explainer(scorer)


def logit(score: float) -> float:
    return log(score / (1 - score))


def total(found: Explanation) -> float:
    return sum(word.contribution for word in found.query + found.title)


def test_a_short_pair_is_explained_exactly(scorer: Scorer, explainer: Explainer) -> None:
    query, title = ["red", "shoes"], ["Red", "canvas", "shoes,", "size"]
    found = explainer.explain(" ".join(query), " ".join(title))
    unrelated = scorer.score(baseline_pairs()).scores.astype(float)
    baseline = float(np.mean(np.log(unrelated / (1 - unrelated))))

    def value(words: set[int]) -> float:
        left = " ".join(word for place, word in enumerate(query) if place in words)
        right = " ".join(word for place, word in enumerate(title, len(query)) if place in words)
        return logit(float(scorer.score_texts([left], [right]).scores[0])) if left and right else baseline

    contributions = np.zeros(6)
    for order in permutations(range(6)):
        for place, word in enumerate(order):
            contributions[word] += value(set(order[: place + 1])) - value(set(order[:place]))
    shown = [word.contribution for word in found.query + found.title]
    assert found.exact
    assert [word.word for word in found.query + found.title] == query + title
    assert shown == pytest.approx((contributions / factorial(6)).tolist(), abs=TOLERANCE)
    assert {word.standard_error for word in found.query + found.title} == {0.0}


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("shoes", "Shoes"),
        ("power steering hose", LONG_TITLE),
        ("a query of very many words that no table of subsets holds", LONG_TITLE),
        ("充電器", "充電器ケーブル USB"),
        ("usb  cable", "Cable " * 100),
    ],
)
def test_contributions_sum_to_the_logit_of_the_score_less_the_baseline(
    scorer: Scorer, explainer: Explainer, query: str, title: str
) -> None:
    found = explainer.explain(query, title)
    result = scorer.score_texts([query], [title])
    assert found.score == pytest.approx(float(result.scores[0]), abs=1e-6)
    assert found.label == result.labels[0]
    assert total(found) == pytest.approx(logit(float(result.scores[0])) - found.baseline, abs=TOLERANCE)
    assert explainer.explain(query, title) == found


def test_the_standard_error_tells_how_far_an_estimate_is_from_the_exact_value(scorer: Scorer) -> None:
    query, title = "power steering hose", " ".join(LONG_TITLE.split()[:9])
    exact = Explainer(scorer, max_cost=1 << 20).explain(query, title)
    sampled = Explainer(scorer, max_cost=1000).explain(query, title)
    assert exact.exact
    assert not sampled.exact
    assert sampled.pairs < exact.pairs / 4
    for estimate, truth in zip(sampled.query + sampled.title, exact.query + exact.title, strict=True):
        assert estimate.standard_error > 0
        assert abs(estimate.contribution - truth.contribution) <= 4 * estimate.standard_error


def test_a_repeated_word_has_equal_contributions(explainer: Explainer) -> None:
    """Without either of two equal neighbours the same text is left, so the two are interchangeable."""
    first, second, *_ = explainer.explain("red shoes", "Red Red canvas shoes").title
    assert first.contribution == pytest.approx(second.contribution, abs=1e-9)


def test_words_beyond_what_the_model_reads_are_counted(scorer: Scorer, explainer: Explainer) -> None:
    title = "cable " * 60
    found = explainer.explain("cable", title)
    assert len(found.title) == scorer.titles.tokenizer.room
    assert found.unread_title_words == 60 - len(found.title)
    assert found.unread_query_words == 0


@settings(deadline=None)
@given(text=texts)
def test_the_words_have_the_pieces_of_the_text(scorer: Scorer, text: str) -> None:
    tokenizer = scorer.titles.tokenizer
    words = words_of(text, tokenizer)
    pieces = tokenizer.encode([text])[0]
    if not words.read:
        assert pieces.error is not None
    else:
        assert tokenizer.encode([" ".join(words.read)])[0].ids == pieces.ids


@pytest.mark.parametrize(
    ("query", "title", "field", "reason"),
    [
        ("", "Red shoes", "query", "is empty"),
        ("red", "\x00", "title", "has no readable character"),
        ("red", "shoe " * 2000, "title", "has 10000 bytes, the limit is 8192"),
        ("\ud800", "Red shoes", "query", "is not valid UTF-8"),
    ],
)
def test_a_pair_without_a_score_has_no_explanation(
    explainer: Explainer, query: str, title: str, field: str, reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        explainer.explain(query, title)
    assert caught.value.field == field


def test_a_model_without_text_graphs_is_explained(tmp_path: Path) -> None:
    """Its logit is the sum of the query's ids less that of the title's, and `hat` has the higher id."""
    scorer = Scorer(cross_encoder(tmp_path / "bundle"))
    explainer = Explainer(scorer)
    found = explainer.explain("red", "blue hat blue")
    baseline = baseline_of(explainer.logits.score(baseline_pairs()).scores)
    assert total(found) == pytest.approx(found.logit - baseline, abs=TOLERANCE)
    blue, hat, other = (word.contribution for word in found.title)
    assert blue == pytest.approx(other)
    assert blue > hat


def test_a_pair_for_which_the_model_gives_no_number_has_no_explanation(tmp_path: Path) -> None:
    bundle = cross_encoder(tmp_path / "bundle")
    nan_pair_graph(bundle.path)
    with pytest.raises(RequestError, match="gives no number"):
        Explainer(Scorer(type(bundle).load(bundle.path))).explain("red", "blue hat")


def test_an_explainer_does_not_keep_its_scorer(student: Bundle) -> None:
    """A server keeps one for each model that it holds, and drops both together."""
    scorer = Scorer(student)
    explainer, kept = Explainer(scorer), weakref.ref(scorer)
    del scorer
    gc.collect()
    assert kept() is None
    assert explainer.explain("red shoes", "Red shoes").label == 1


def test_a_text_at_the_limit_of_bytes_is_explained(scorer: Scorer) -> None:
    """Joined by spaces, ideographs take more bytes than side by side."""
    limit = len(("充電器" * 5).encode()) + 1
    tight = Scorer(scorer.bundle, max_text_bytes=limit)
    assert len(Explainer(tight).explain("充電器", "充電器" * 5).title) == 15


def test_other_tokenizers_read_the_words_of_a_text(tmp_path: Path) -> None:
    bundle = cross_encoder(tmp_path / "bundle")
    vocabulary = WordPieces(bundle.path / "tokenizer.json")
    tokenizer = TextTokenizer(vocabulary, max_tokens=4, leading_cls=False)
    words = words_of("red blue shoes hat boots", tokenizer)
    assert words.read == ("red", "blue", "shoes")
    assert words.unread == 2
    assert words.subset(0b101) == "red shoes"
    assert words.subset(0b111) == "red blue shoes hat boots"


def test_neighbours_are_explained_together_where_a_model_reads_very_many_words(student: Bundle) -> None:
    vocabulary = WordPieces(student.path / "tokenizer.json")
    tokenizer = TextTokenizer(vocabulary, max_tokens=200, leading_cls=False)
    text = " ".join(["red", "shoes"] * 70)
    words = words_of(text, tokenizer)
    assert words.read[:2] == ("red shoes red", "shoes red shoes")
    assert " ".join(words.read) == text
    assert len(words.read) <= 62
