"""The data folder: where each source lies, how it is read, and a record of what was read.

Text sources are gzipped, tab-separated, with a header and no quoting; nightly pairs are Parquet. Whatever is read is
noted with its SHA-256 and row count, which end up in the bundle's lineage.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyarrow import parquet

from distillation.errors import DataError

JUDGED: Final = "judged/icecat.tsv.gz"
OFFERS: Final = "weak/pricerunner_offers.tsv.gz"
OFFER_PAIRS: Final = "weak/pricerunner_pairs.tsv.gz"
TITLE_CATEGORY: Final = "weak/title_category.tsv.gz"
TITLES: Final = "unlabelled/titles.txt.gz"
QUERIES: Final = "unlabelled/queries.tsv.gz"
NIGHTLY: Final = "nightly/ds=2026-11-01"

LICENCES: Final = {
    JUDGED: "judgements querqy/chorus, Apache-2.0; titles Icecat Open Content License, with attribution",
    OFFERS: "PriceRunner aggregate, L. Akritidis, UCI",
    OFFER_PAIRS: "derived from the PriceRunner aggregate, L. Akritidis, UCI",
    TITLE_CATEGORY: "Walmart-Amazon (Magellan), as carried by megagonlabs/ditto",
    TITLES: "titles of PriceRunner, WDC, Magellan and Icecat",
    QUERIES: "WANDS, MIT; ESCI, Apache-2.0",
    NIGHTLY: "derived from the titles and queries above",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """Human judgements, row by row: grade 0 (wrong) to 3 (great)."""

    queries: list[str]
    titles: list[str]
    grades: list[int]


@dataclass(frozen=True, slots=True)
class Weak:
    """Pairs with a label that nobody judged: 1 relevant, 0 not."""

    queries: list[str]
    titles: list[str]
    labels: list[int]


class DataFolder:
    """Reads the sources below ``root`` and remembers which.

    Attributes
    ----------
    lineage
        Path below the root to ``{"sha256", "rows", "licence"}`` of everything read so far.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"data folder {root}: no such folder")
        self._root = root
        self.lineage: dict[str, dict[str, Any]] = {}

    def judged(self) -> Judged:
        """Read the human judgements."""
        rows = list(self._table(JUDGED, "query", "title", "grade"))
        grades = [int(row[2]) for row in rows]
        if not set(grades) <= {0, 1, 2, 3}:
            raise DataError(f"{self._root / JUDGED}: a grade is outside 0 to 3")
        return Judged([row[0] for row in rows], [row[1] for row in rows], grades)

    def titles(self) -> list[str]:
        """Read the corpus of distinct titles, one a line."""
        return list(dict.fromkeys(line for line in self._lines(TITLES) if line))

    def queries(self) -> list[str]:
        """Read the real search queries, and the names of the product classes that some of them carry."""
        rows = list(self._table(QUERIES, "query", "class"))
        return list(dict.fromkeys(text for row in rows for text in row if text))

    def nightly(self) -> tuple[list[str], list[str]]:
        """Read one night's distinct pairs as parallel queries and titles, in order of first appearance."""
        folder = self._root / NIGHTLY
        parts = sorted(folder.glob("*.parquet"))
        if not parts:
            raise DataError(f"{folder}: holds no Parquet file")
        pairs: dict[tuple[str, str], None] = {}
        for part in parts:
            table = parquet.read_table(part, columns=["query", "title"])
            self._note(f"{NIGHTLY}/{part.name}", part, table.num_rows, LICENCES[NIGHTLY])
            rows = zip(table["query"].to_pylist(), table["title"].to_pylist(), strict=True)
            pairs.update(dict.fromkeys((query, title) for query, title in rows if query and title))
        return [query for query, _ in pairs], [title for _, title in pairs]

    def categories(self) -> tuple[list[str], list[str]]:
        """Read titles with the name of their category, as parallel titles and categories."""
        rows = [*self._table(OFFERS, "title", "category"), *self._table(TITLE_CATEGORY, "title", "category")]
        return [row[0] for row in rows], [row[1] for row in rows]

    def offers(self) -> Weak:
        """Read derived offer pairs: *match* counts as relevant, *far* as not; *near* is often either, and left out."""
        label = {"match": 1, "far": 0}
        rows = [row for row in self._table(OFFER_PAIRS, "query", "title", "label") if row[2] in label]
        return Weak([row[0] for row in rows], [row[1] for row in rows], [label[row[2]] for row in rows])

    def _table(self, name: str, *columns: str) -> Iterator[list[str]]:
        lines = self._lines(name)
        header = next(lines, "").split("\t")
        lacking = [column for column in columns if column not in header]
        if lacking:
            raise DataError(f"{self._root / name}: column {lacking[0]} is missing; it has {', '.join(header)}")
        places = [header.index(column) for column in columns]
        for number, line in enumerate(lines, start=2):
            fields = line.split("\t")
            if len(fields) != len(header):
                raise DataError(f"{self._root / name}: line {number} has {len(fields)} fields, expected {len(header)}")
            yield [fields[place] for place in places]

    def _lines(self, name: str) -> Iterator[str]:
        path = self._root / name
        try:
            lines = gzip.decompress(path.read_bytes()).decode("utf-8").removesuffix("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from None
        header = 0 if name == TITLES else 1
        self._note(name, path, len(lines) - header, LICENCES[name])
        return iter(lines)

    def _note(self, name: str, path: Path, rows: int, licence: str) -> None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.lineage[name] = {"sha256": digest, "rows": rows, "licence": licence}
