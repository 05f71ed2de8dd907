"""Behaviour by capability: whether relevant titles are scored above irrelevant ones, and both are labelled right.

A table has a query and two titles in each row: the better one is relevant to the query, the worse one is not, because
of one thing (a number, a size, an accessory, another sense of a word), which is the row's capability. A table ships
with the package. After CheckList (Ribeiro et al., 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList").

>>> triples = read_triples(default_capabilities_path())
>>> triples[0].capability
'model number'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.errors import DataError

COLUMNS = ("capability", "query", "better", "worse")


@dataclass(frozen=True, slots=True)
class Triple:
    """A row of the table: the title `better` is relevant to `query`, and `worse` is not."""

    capability: str
    query: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class Shares:
    """Result for some rows.

    Attributes
    ----------
    rows
        Number of rows.
    in_order
        Share of rows whose better title has the higher score.
    both_right
        Share of rows whose better title is labelled relevant and whose worse one is not.
    """

    rows: int
    in_order: float
    both_right: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of all rows, and what they get right.

    Attributes
    ----------
    triples
        The rows.
    better, worse
        Scores of the two titles of each row, float64 [rows]; minus infinity for a pair without a score, which is thus
        below all others and not relevant.
    threshold
        Scores from this one on are labelled relevant.
    """

    triples: Sequence[Triple]
    better: NDArray[np.float64]
    worse: NDArray[np.float64]
    threshold: float

    @property
    def in_order(self) -> NDArray[np.bool_]:
        """Return whether each row's better title has the higher score, bool [rows]; equal scores are not in order."""
        return self.better > self.worse

    @property
    def both_right(self) -> NDArray[np.bool_]:
        """Return whether each row's better title is labelled relevant and the worse one is not, bool [rows]."""
        return (self.better >= self.threshold) & (self.worse < self.threshold)

    def total(self) -> Shares:
        """Return the result for all rows."""
        return self._shares(np.arange(len(self.triples)))

    def by_capability(self) -> dict[str, Shares]:
        """Return the result of each capability, in the order of the table."""
        rows: dict[str, list[int]] = {}
        for row, triple in enumerate(self.triples):
            rows.setdefault(triple.capability, []).append(row)
        return {capability: self._shares(np.array(of_it)) for capability, of_it in rows.items()}

    def worst_first(self) -> list[tuple[str, Shares]]:
        """Return the results of the capabilities, those with the fewest rows right first."""
        return sorted(self.by_capability().items(), key=lambda item: (item[1].both_right, item[1].in_order))

    def failures(self) -> list[int]:
        """Return the rows that are not both right, those first whose worse title is furthest above the better one."""
        wrong = np.flatnonzero(~self.both_right)
        # A pair without a score counts as 0 here, so that differences are numbers.
        better, worse = (np.where(np.isfinite(scores), scores, 0.0)[wrong] for scores in (self.better, self.worse))
        return [int(row) for row in wrong[np.argsort(better - worse, kind="stable")]]

    def _shares(self, rows: NDArray[np.int64]) -> Shares:
        return Shares(len(rows), float(self.in_order[rows].mean()), float(self.both_right[rows].mean()))


def default_capabilities_path() -> Path:
    """Return the table that ships with the package."""
    return Path(str(resources.files("evaluation"))) / "capabilities.tsv"


def read_triples(path: str | Path) -> list[Triple]:
    """Read a table: tab-separated UTF-8 with a header; fields are not quoted, and other columns are ignored.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, has no row, or has a row that is incomplete, repeated, or whose two
        titles are the same.
    """
    lines = _lines(path)
    header = lines[0].split("\t")
    for column in COLUMNS:
        if header.count(column) != 1:
            fault = "is missing" if column not in header else "is there twice"
            raise DataError(
                f"{path}: line 1: column {column} {fault}; expected the columns {', '.join(COLUMNS)}, separated by tabs"
            )
    triples: dict[Triple, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        triple = _triple(f"{path}: line {number}", header, line)
        if triple in triples:
            raise DataError(f"{path}: line {number}: is the same as line {triples[triple]}; expected it once")
        triples[triple] = number
    if not triples:
        raise DataError(f"{path}: has no rows; expected at least one below the header")
    return list(triples)


def _lines(path: str | Path) -> list[str]:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line}: is not UTF-8; expected a text file in UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _triple(where: str, header: Sequence[str], line: str) -> Triple:
    fields = line.split("\t")
    if len(fields) != len(header):
        raise DataError(
            f"{where}: {len(fields)} field{'s' * (len(fields) != 1)}; expected {len(header)} as in the header, "
            "separated by tabs"
        )
    values = [fields[header.index(column)].strip() for column in COLUMNS]
    for column, value in zip(COLUMNS, values, strict=True):
        if not value:
            what = "a title" if column in {"better", "worse"} else f"a {column}"
            raise DataError(f"{where}: column {column} is empty; expected {what}")
    triple = Triple(*values)
    if triple.better == triple.worse:
        raise DataError(f"{where}: columns better and worse are the same; expected two titles")
    return triple


def compare(triples: Sequence[Triple], better: ArrayLike, worse: ArrayLike, threshold: float) -> Comparison:
    """Return what some scores get right.

    Parameters
    ----------
    triples
        The rows.
    better, worse
        Scores of the two titles of each row, [rows]; NaN for a pair without a score.
    threshold
        Scores from this one on are labelled relevant.
    """

    def scores(values: ArrayLike) -> NDArray[np.float64]:
        return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-np.inf)

    return Comparison(triples, scores(better), scores(worse), threshold)


def pairs_of(triples: Sequence[Triple]) -> tuple[list[str], list[str]]:
    """Return queries and titles to score: all rows with their better titles, then all rows with their worse ones."""
    titles = [triple.better for triple in triples] + [triple.worse for triple in triples]
    return [triple.query for triple in triples] * 2, titles


def compare_model(triples: Sequence[Triple], scores: ArrayLike, threshold: float) -> Comparison:
    """Return what a model gets right, from its scores of `pairs_of(triples)`, [2 rows], and its threshold."""
    better, worse = np.split(np.asarray(scores), 2)
    # As the model compares: in float32.
    return compare(triples, better, worse, float(np.float32(threshold)))
