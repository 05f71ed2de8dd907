"""Edits of texts, and the pairs that are made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.data.leakage import QueryGuard
from distillation.data.perturbations import Lexicon, drop_word, exchange, misspell, reorder
from distillation.pipeline.workspace import Context, read_columns
from distillation.recipe.recipe import Recipe
from distillation.steps.augment import run
from distillation.steps.prepare import run as prepare
from distillation.steps.pseudo_label import balanced
from tests.support.small_shop import small_shop, write_encoder, write_wands

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


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(0, 40), SEEDS)
def test_kinds_are_drawn_evenly_as_far_as_they_last(origins: list[str], count: int, seed: int) -> None:
    rows = balanced(origins, np.arange(len(origins)), count, np.random.default_rng(seed))
    assert len(set(rows.tolist())) == len(rows) == min(count, len(origins))
    drawn = Counter(origins[row] for row in rows)
    for kind, there in Counter(origins).items():
        if drawn[kind] < there:
            assert drawn[kind] >= max(drawn.values(), default=0) - 1


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> Context:
    root = tmp_path_factory.mktemp("augment")
    shop = small_shop()
    write_wands(shop, root)
    encoder = write_encoder(shop, root / "encoder")
    counts = dict.fromkeys(
        ("recombined", "lexical", "embedding", "crops", "typos", "dropped", "reordered", "swapped"), 80
    )
    recipe = Recipe.model_validate(
        {
            "data": {"judged": [{"format": "wands", "path": "."}]},
            "encoder": {"name": str(encoder)},
            "augment": {**counts, "phrases": 0, "log": 0},
            "evaluation": {"folds": 2},
        }
    )
    context = Context(recipe, root / "work", root)
    prepare(context)
    run(context)
    return context


def test_every_kind_is_made_and_no_pair_twice(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    kinds = {"recombined", "lexical", "embedding", "crop", "typo", "dropped", "reordered", "swapped"}
    assert set(pairs["origin"]) == kinds
    both = list(zip(pairs["query"], pairs["title"], strict=True))
    assert len(set(both)) == len(both)


def test_open_pairs_have_no_query_akin_to_a_measured_one(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    judged = read_columns(augmented.folder("prepare") / "judged.parquet")
    guard = QueryGuard(judged["query"], "kindred")
    both = zip(pairs["query"], pairs["asked"], strict=True)
    expected = [not guard.blocks(query) and not guard.blocks(asked) for query, asked in both]
    assert expected == pairs["open"].astype(bool).tolist()
    assert 0 < pairs["open"].sum() < len(pairs["open"])


def test_a_misspelt_measured_query_is_known_by_the_one_it_was_made_of(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    judged = set(read_columns(augmented.folder("prepare") / "judged.parquet")["query"])
    guard = QueryGuard(judged, "kindred")
    rows = list(zip(pairs["query"], pairs["asked"], pairs["origin"], pairs["open"], strict=True))
    assert all(query == asked for query, asked, origin, _ in rows if origin in {"recombined", "lexical", "crop"})
    typos = [(query, asked, is_open) for query, asked, origin, is_open in rows if origin == "typo"]
    assert all(query != asked and len(query.split()) == len(asked.split()) for query, asked, _ in typos)
    unseen = [is_open for query, asked, is_open in typos if asked in judged and not guard.blocks(query)]
    assert unseen
    assert not any(unseen)


def test_hard_negatives_share_words_with_their_query(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    rows = [row for row, origin in enumerate(pairs["origin"]) if origin == "lexical"]
    assert all(set(pairs["query"][row].split()) & set(pairs["title"][row].split()) for row in rows)


def test_the_same_seed_makes_the_same_pairs(augmented: Context) -> None:
    path = augmented.folder("augment") / "pairs.parquet"
    before = Path(path).read_bytes()
    run(augmented)
    assert path.read_bytes() == before
