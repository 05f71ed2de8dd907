"""Perturbations change what their name says and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distillation.data.perturbations import Lexicon, drop_word, exchange, misspell, reorder

TEXTS = st.lists(st.sampled_from(["red", "canvas", "shoes", "42", "xz-900", "of"]), min_size=1, max_size=6).map(
    " ".join
)
SEEDS = st.integers(0, 1000)


@given(TEXTS, SEEDS)
def test_a_misspelling_touches_one_long_word(text: str, seed: int) -> None:
    edited = misspell(text, np.random.default_rng(seed))
    if edited is None:
        return
    changed = [(a, b) for a, b in zip(text.split(), edited.split(), strict=True) if a != b]
    assert len(changed) == 1
    before, after = changed[0]
    assert len(before) >= 4
    assert abs(len(before) - len(after)) <= 1
    assert before[0] == after[0]


@given(TEXTS, SEEDS)
def test_dropping_and_moving_keep_the_other_words(text: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    less = drop_word(text, rng)
    if less is not None:
        assert sum((Counter(text.split()) - Counter(less.split())).values()) == 1
    moved = reorder(text, rng)
    if moved is not None:
        assert moved != text
        assert Counter(moved.split()) == Counter(text.split())


def test_an_exchange_stays_within_its_kind_and_prefers_what_both_texts_have() -> None:
    titles = [f"kestrel phone k{n}x {n}" for n in range(10, 20)] + [f"okapi phone o{n}x {n}" for n in range(20, 30)]
    lexicon = Lexicon.of(titles)
    brands, models, numbers = lexicon.kinds
    assert set(brands) == {"kestrel", "okapi"}
    assert "k11x" in models
    assert "11" in numbers
    rng = np.random.default_rng(0)
    for _ in range(50):
        edited = exchange("Kestrel phone K11x 11", "kestrel", lexicon, rng)
        assert edited in (None, "okapi phone K11x 11")
        edited = exchange("phone 11 for you", "anything", lexicon, rng)
        assert edited is None or edited.split()[1] in numbers
    assert exchange("a plain text", "x", lexicon, rng) is None
