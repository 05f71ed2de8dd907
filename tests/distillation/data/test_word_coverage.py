"""Which words of a query a title has, and the edits between two words."""

from __future__ import annotations

import pytest

from distillation.data.word_coverage import ShopText, coverage, edit_distance


@pytest.mark.parametrize(
    ("word", "title", "covered"),
    [
        ("shoe", "Running Shoes", (True, True, True)),
        ("airfryer", "Air Fryer", (True, True, True)),
        ("vaccum", "Upright Vacuum", (False, True, True)),
        ("book", "Notebooks", (False, False, False)),
        ("couch", "Linen Sofa", (False, False, True)),
        ("13", "Case for Phone 12", (False, False, False)),
    ],
)
def test_a_word_is_covered_exactly_tolerantly_or_by_a_synonym(
    word: str, title: str, covered: tuple[bool, bool, bool]
) -> None:
    assert tuple(found[word] for found in coverage([word], ShopText.of(title))) == covered


def test_an_edit_distance_beyond_the_bound_is_one_more_than_it() -> None:
    assert edit_distance("mug", "lamp", 2) == 3
    assert edit_distance("headset", "headset", 0) == 0
