"""Tables of capabilities: the one that ships gives nothing away, mistakes are named, and rows are counted as said."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evaluation.capabilities import (
    Shares,
    Triple,
    compare,
    compare_model,
    default_capabilities_path,
    pairs_of,
    read_triples,
)
from evaluation.errors import DataError
from relevance_model import Scorer

HEADER = "capability\tquery\tbetter\tworse\n"
TRIPLES = [
    Triple("size", "shoes 42", "Shoes, size 42", "Shoes, size 38"),
    Triple("size", "shoes 43", "Shoes, size 43", "Shoes, size 39"),
    Triple("size", "shoes 44", "Shoes, size 44", "Shoes, size 40"),
    Triple("colour", "red hat", "Hat, red", "Hat, blue"),
]


def test_the_table_that_ships_has_enough_rows_of_each_kind_and_none_twice() -> None:
    triples = read_triples(default_capabilities_path())
    rows = Counter(triple.capability for triple in triples)
    assert len(triples) >= 480
    assert len(rows) >= 24
    assert min(rows.values()) >= 16
    assert len({(triple.capability, triple.query.lower()) for triple in triples}) == len(triples)


def test_neither_length_nor_shared_words_give_the_better_title_away() -> None:
    def words(text: str) -> set[str]:
        return set(re.findall(r"\w+", text.lower()))

    triples = read_triples(default_capabilities_path())
    lengths = np.array([len(t.better.split()) - len(t.worse.split()) for t in triples])
    shared = np.array([len(words(t.query) & words(t.better)) - len(words(t.query) & words(t.worse)) for t in triples])
    assert abs((lengths > 0).mean() - (lengths < 0).mean()) < 0.15
    assert 0.4 < (shared <= 0).mean() < 0.6


def test_other_columns_blank_lines_and_a_spreadsheet_s_line_ends_are_fine(tmp_path: Path) -> None:
    table = tmp_path / "mine.tsv"
    table.write_bytes(b'\xef\xbb\xbfworse\tquery\tnote\tbetter\tcapability\r\nw "\tq\t\tb\tc\r\n\r\n')
    assert read_triples(table) == [Triple("c", "q", "b", 'w "')]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("capability\tquery\tbetter\n", "line 1: column worse is missing; expected the columns capability, query"),
        ("capability,query,better,worse\na,b,c,d\n", "line 1: column capability is missing; expected the columns"),
        ("query\t" + HEADER, "line 1: column query is there twice"),
        ("", "line 1: column capability is missing"),
        (HEADER, "has no rows; expected at least one"),
        (HEADER + "a\tb\tc\td\na\tb\tc\n", "line 3: 3 fields; expected 4 as in the header, separated by tabs"),
        (HEADER + "\na\tb\t \td\n", "line 3: column better is empty; expected a title"),
        (HEADER + "\tb\tc\td\n", "line 2: column capability is empty; expected a capability"),
        (HEADER + "a\tb\tc\tc\n", "line 2: columns better and worse are the same; expected two titles"),
        (HEADER + "a\tb\tc\td\na\tb\tc\te\na\tb\tc\td\n", "line 4: is the same as line 2; expected it once"),
        (HEADER + "a\tb\tc\td\na\tb\tc\t\udcff\n", "line 3: is not UTF-8"),
    ],
)
def test_a_mistake_is_named_by_line_and_column(content: str, complaint: str, tmp_path: Path) -> None:
    table = tmp_path / "mine.tsv"
    table.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        read_triples(table)
    assert str(caught.value).startswith(f"{table}: {complaint}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.tsv: cannot be read \(No such file or directory\)"):
        read_triples(tmp_path / "none.tsv")


def test_equal_scores_are_not_in_order_and_a_pair_without_a_score_is_not_relevant() -> None:
    nan = float("nan")
    comparison = compare(TRIPLES, [0.9, 0.6, nan, 0.5], [0.4, 0.6, 0.1, nan], threshold=0.5)
    assert comparison.in_order.tolist() == [True, False, False, True]
    assert comparison.both_right.tolist() == [True, False, False, True]
    assert comparison.by_capability() == {"size": Shares(3, 1 / 3, 1 / 3), "colour": Shares(1, 1.0, 1.0)}
    assert [name for name, _ in comparison.worst_first()] == ["size", "colour"]
    assert comparison.total() == Shares(4, 0.5, 0.5)
    assert comparison.failures() == [2, 1]


def test_a_row_may_be_in_order_with_a_wrong_label() -> None:
    comparison = compare(TRIPLES, [0.9, 0.4, 0.9, 0.9], [0.7, 0.3, 0.1, 0.5], threshold=0.5)
    assert comparison.total() == Shares(4, 1.0, 0.25)
    assert comparison.failures() == [1, 0, 3]


def test_a_bundle_is_compared_by_its_own_scores_and_labels(scorer: Scorer) -> None:
    unreadable = Triple("length", "red shoes", "Red shoes", "x" * (scorer.max_text_bytes + 1))
    triples = [*read_triples(default_capabilities_path())[::20], unreadable]
    scores = scorer.score_texts(*pairs_of(triples)).scores
    comparison = compare_model(triples, scores, scorer.bundle.manifest.threshold)
    for row, triple in enumerate(triples):
        (better,), (worse,) = (scorer.score_texts([triple.query], [t]).labels for t in (triple.better, triple.worse))
        assert comparison.both_right[row] == (better == 1 and worse == 0), triple
    assert comparison.in_order[-1]
    assert 0.0 < comparison.total().both_right < 1.0
