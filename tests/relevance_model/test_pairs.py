"""Columns and indices: what is refused, and that joining and cutting keep every row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevance_model import Pairs, RequestError

texts = st.lists(st.text(max_size=5), min_size=1, max_size=6)


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    queries, titles = draw(texts), draw(texts)
    rows = draw(st.integers(1, 8))
    index = [
        draw(st.lists(st.integers(0, len(column) - 1), min_size=rows, max_size=rows)) for column in (queries, titles)
    ]
    return Pairs.from_columns(queries, titles, *index)


def rows_of(p: Pairs) -> list[tuple[str, str]]:
    return [(p.queries[q], p.titles[t]) for q, t in zip(p.query_index, p.title_index, strict=True)]


@given(st.lists(pairs(), min_size=1, max_size=4))
def test_concat_keeps_every_row_in_order(parts: list[Pairs]) -> None:
    assert rows_of(Pairs.concat(parts)) == [row for part in parts for row in rows_of(part)]


@given(pairs(), st.integers(0, 8), st.integers(0, 8))
def test_rows_cuts_like_a_slice(whole: Pairs, start: int, stop: int) -> None:
    part = whole.rows(start, stop)
    assert rows_of(part) == rows_of(whole)[start:stop]
    assert len(part.queries) == len(set(part.query_index.tolist()))


def test_an_empty_index_reads_row_by_row() -> None:
    assert rows_of(Pairs.from_columns(["a", "b"], ["x", "y"])) == [("a", "x"), ("b", "y")]
    assert rows_of(Pairs.from_columns(["a"], ["x", "y"], [0, 0])) == [("a", "x"), ("a", "y")]


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ((["a"], ["x", "y"]), "titles", "2 rows and the query column 1"),
        ((["a"], ["x"], [1], [0]), "query_index", "row 0 points to 1, but queries has 1 entries"),
        ((["a"], ["x"], [0, 0], [0, 7]), "title_index", "row 1 points to 7, but titles has 1 entries"),
        ((["a"], ["x"], [0], [-1]), "title_index", "row 0 points to -1"),
        (([], ["x"], [0], [0]), "query_index", "queries has 0 entries"),
    ],
)
def test_columns_that_disagree_are_refused(arguments: tuple[list[str], ...], field: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as error:
        Pairs.from_columns(*arguments)
    assert error.value.field == field
