"""Overlapping queries, and the guard that keeps them out of training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.data.leakage import QueryGuard, overlapping_query_groups
from evaluation.query_text import plain, query_groups

WORDS = st.lists(st.sampled_from(["red", "blue", "shoe", "boot", "phone", "case"]), min_size=1, max_size=3)
QUERIES = st.lists(WORDS.map(" ".join), min_size=1, max_size=8)


def test_overlapping_queries_share_a_group() -> None:
    queries = ["laptop", "Gaming laptops", "smart watch", "phone case", "smartwatch", "phone stand", "laptop", "gaming"]
    groups = overlapping_query_groups(queries)
    assert groups[0] == groups[1] == groups[6] == groups[7]
    assert groups[2] == groups[4]
    assert len(set(groups.tolist())) == 4


def test_a_query_is_one_however_it_is_written() -> None:
    one = ["TV Stand", "tv stand", " tv  stand!", "TV-stand", "t\u0301v stand"]
    assert query_groups([*one, "tv stands", "tvstand", "stand tv"]).tolist() == [0] * 5 + [1, 2, 3]
    assert plain("\u200b \ufffd\x07") == ""
    assert plain("\u2605") != plain("\u2606") != ""
    guard = QueryGuard(["caf\u00e9"], "normalised")
    assert guard.blocks("Cafe!")
    assert QueryGuard(["caf\u00e9 table"], "normalised").blocks("tables CAFE")
    assert QueryGuard(["caf\u00e9 table"], "overlapping").blocks("cheap cafe tables")


@given(QUERIES)
def test_groups_are_the_chains_of_overlapping_queries(queries: list[str]) -> None:
    """Compared with the definition, at quadratic cost."""
    sets = [frozenset(query.split()) for query in queries]
    group = list(range(len(queries)))
    for _ in queries:
        for i, a in enumerate(sets):
            for j, b in enumerate(sets):
                if a <= b or b <= a:
                    group[i] = group[j] = min(group[i], group[j])
    found = overlapping_query_groups(queries)
    for i in range(len(queries)):
        for j in range(len(queries)):
            assert (found[i] == found[j]) == (group[i] == group[j])


@pytest.mark.parametrize(
    ("query", "normalised", "overlapping"),
    [
        ("Gaming  Laptop", True, True),
        ("laptops, gaming!", True, True),
        ("gaminglaptop", True, True),
        ("laptop", False, True),
        ("cheap gaming laptop", False, True),
        ("gaming chair", False, False),
        ("", False, False),
    ],
)
def test_what_the_guard_blocks(query: str, normalised: bool, overlapping: bool) -> None:
    assert QueryGuard(["gaming laptop"], "normalised").blocks(query) is normalised
    assert QueryGuard(["gaming laptop"], "overlapping").blocks(query) is overlapping
    assert QueryGuard([], "overlapping").passing([query]).tolist() == [True]


@given(QUERIES, QUERIES)
def test_no_guarded_query_ever_passes(guarded: list[str], others: list[str]) -> None:
    guard = QueryGuard(guarded, "normalised")
    shouted = [f" {query.upper()}s! " for query in guarded]
    assert not guard.passing([*guarded, *shouted]).any()
    strict = QueryGuard(guarded, "overlapping").passing(others)
    assert not (strict & ~guard.passing(others)).any()
