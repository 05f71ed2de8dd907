"""Contrast pairs: what a rule changes is what the label says."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from distillation.data.contrast_pairs import ContrastPair, made_pairs
from distillation.data.quantities import missing_quantities, quantities
from distillation.data.title_swaps import swapped_pairs
from distillation.data.variant_pairs import variant_pairs
from evaluation.query_text import words_of

TITLES = [
    "Kestrel Women's Running Shoes, Red, Size 8",
    "Kestrel Men's Running Shoes, Blue, Size 11",
    "Kestrel KX-2040 Cordless Drill, 20V",
    "Kestrel Leather Sofa, Brown, 84 inch",
    "Kestrel Leather Wallet for Men, Black",
    "Brimley Gift Card",
]


@pytest.fixture(scope="module")
def made() -> list[ContrastPair]:
    return made_pairs(4000, np.random.default_rng(3))


def of_kind(pairs: list[ContrastPair], kind: str) -> list[ContrastPair]:
    found = [pair for pair in pairs if pair.kind == kind]
    assert len(found) > 20, kind
    return found


def test_made_pairs_are_of_every_kind_and_both_labels(made: list[ContrastPair]) -> None:
    assert len(made) == 4000
    kinds = Counter(pair.kind for pair in made)
    assert len(kinds) >= 18
    assert min(kinds.values()) > 20
    assert 0.3 < np.mean([pair.target >= 0.5 for pair in made]) < 0.6
    assert made_pairs(50, np.random.default_rng(3)) == made[:50]


def test_only_another_measure_contradicts_a_quantity_of_the_query(made: list[ContrastPair]) -> None:
    def share_missing(kind: str) -> float:
        asked = [pair for pair in of_kind(made, kind) if quantities(pair.query)]
        return float(np.mean([missing_quantities(pair.query, pair.title)[0] > 0 for pair in asked]))

    # A brand or a shoe size may look like a quantity.
    assert share_missing("fitting") < 0.1
    assert share_missing("other measure") > 0.9


def test_an_accessory_is_sold_for_the_product_that_is_asked_for(made: list[ContrastPair]) -> None:
    for pair in of_kind(made, "accessory sold"):
        assert " For " in pair.title or " Compatible With " in pair.title
        assert pair.target < 0.5


def test_an_excluded_thing_is_absent_from_the_fitting_title_alone(made: list[ContrastPair]) -> None:
    excluded = [pair.title.lower() for pair in of_kind(made, "excluded")]
    violated = [pair.title.lower() for pair in of_kind(made, "not excluded")]
    assert all(" no " in title or " without " in title or "-free" in title for title in excluded)
    assert not any(" no " in title or " without " in title or "-free" in title for title in violated)


def test_variants_differ_in_what_the_query_asks_for() -> None:
    pairs = variant_pairs(600, np.random.default_rng(5))
    one_pattern = {"connector", "side", "edition", "strength", "language", "unknown brand"}
    kinds = {pair.kind for pair in pairs}
    assert one_pattern <= kinds
    assert {"part that fits", "part for another product", "condition"} <= kinds
    for fitting, other in pairwise(pairs):
        if fitting.kind in one_pattern and other.kind == f"another {fitting.kind}":
            # What only the fitting title has is in the query.
            missing = set(words_of(fitting.title)) - set(words_of(other.title))
            assert all(word in fitting.query.replace(" ", "") for word in missing)
            assert fitting.target > 0.5 > other.target


def test_a_swapped_title_differs_in_one_word_that_the_query_asks_for() -> None:
    pairs = swapped_pairs(TITLES, 600, np.random.default_rng(0))
    kinds = Counter(pair.kind for pair in pairs)
    assert {"title", "other number", "other code", "other colour", "other wearer", "accessory sold"} <= set(kinds)
    assert all(pair.title in TITLES for pair in pairs if pair.kind in {"title", "accessory asked", "other title"})
    source = ""
    for pair in pairs:
        if pair.kind == "title":
            source = pair.title
        elif pair.kind in {"other number", "other code", "other colour", "other wearer", "other attribute"}:
            changed = [(a, b) for a, b in zip(source.split(), pair.title.split(), strict=True) if a != b]
            assert len(changed) == 1
            assert pair.target < 0.5
            assert pair.title not in TITLES


def test_titles_that_name_no_known_product_make_no_pairs() -> None:
    assert swapped_pairs(["Brimley Gift Card", "", "x"], 10, np.random.default_rng(0)) == []
    assert all(
        "gift card" not in " ".join(words_of(p.title)) for p in swapped_pairs(TITLES, 100, np.random.default_rng(1))
    )
