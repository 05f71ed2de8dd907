"""Step `augment`: every kind of pair, once, with the guard's verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillation.data.leakage import QueryGuard
from distillation.pipeline.workspace import Context, read_columns
from distillation.recipe.recipe import Recipe
from distillation.steps.augment import run
from distillation.steps.prepare import run as prepare
from tests.support.small_shop import small_shop, write_encoder, write_wands


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


def test_pairs_for_all_folds_have_no_query_that_overlaps_a_measured_one(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    judged = read_columns(augmented.folder("prepare") / "judged.parquet")
    guard = QueryGuard(judged["query"], "overlapping")
    both = zip(pairs["query"], pairs["source_query"], strict=True)
    expected = [not guard.blocks(query) and not guard.blocks(source) for query, source in both]
    assert expected == pairs["for_all_folds"].astype(bool).tolist()
    assert 0 < pairs["for_all_folds"].sum() < len(pairs["for_all_folds"])


def test_a_misspelt_measured_query_is_blocked_by_its_source_query(augmented: Context) -> None:
    pairs = read_columns(augmented.folder("augment") / "pairs.parquet")
    judged = set(read_columns(augmented.folder("prepare") / "judged.parquet")["query"])
    guard = QueryGuard(judged, "overlapping")
    rows = list(zip(pairs["query"], pairs["source_query"], pairs["origin"], pairs["for_all_folds"], strict=True))
    assert all(query == source for query, source, origin, _ in rows if origin in {"recombined", "lexical", "crop"})
    typos = [(query, source, for_all) for query, source, origin, for_all in rows if origin == "typo"]
    assert all(query != source and len(query.split()) == len(source.split()) for query, source, _ in typos)
    unseen = [for_all for query, source, for_all in typos if source in judged and not guard.blocks(query)]
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
