"""Dictionary-encoded pairs: two lists of texts, and for each row a position in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relevance_model.errors import RequestError

IndexArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Dictionary-encoded (query, title) rows.

    Row `i` is `(queries[query_index[i]], titles[title_index[i]])`: a repeated text is held, sent and tokenised
    once.

    Attributes
    ----------
    queries, titles
        Texts.
    query_index, title_index
        int64 [rows], each entry within its list.
    """

    queries: Sequence[str]
    titles: Sequence[str]
    query_index: IndexArray
    title_index: IndexArray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.query_index)

    @staticmethod
    def from_columns(
        queries: Sequence[str],
        titles: Sequence[str],
        query_index: ArrayLike = (),
        title_index: ArrayLike = (),
    ) -> Pairs:
        """Return the pairs of two columns; a column with an empty index is read row by row.

        Raises
        ------
        RequestError
            If an index points outside its list, or the two columns give different numbers of rows.
        """
        rows_q = _index(query_index, len(queries), "query_index", "queries")
        rows_t = _index(title_index, len(titles), "title_index", "titles")
        if len(rows_q) != len(rows_t):
            raise RequestError(
                "titles",
                f"the title column has {len(rows_t)} rows and the query column {len(rows_q)}; both must have the same",
            )
        return Pairs(queries, titles, rows_q, rows_t)

    @staticmethod
    def concat(parts: Sequence[Pairs]) -> Pairs:
        """Return the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        rows = [len(part) for part in parts]
        return Pairs(
            [text for part in parts for text in part.queries],
            [text for part in parts for text in part.titles],
            _shifted([part.query_index for part in parts], [len(part.queries) for part in parts], rows),
            _shifted([part.title_index for part in parts], [len(part.titles) for part in parts], rows),
        )

    def rows(self, start: int, stop: int) -> Pairs:
        """Return the rows from `start` to before `stop`, over the texts they use."""
        return self.select(slice(start, stop))

    def select(self, rows: slice | list[int]) -> Pairs:
        """Return some rows, over the texts they use."""
        used_q, rows_q = np.unique(self.query_index[rows], return_inverse=True)
        used_t, rows_t = np.unique(self.title_index[rows], return_inverse=True)
        return Pairs([self.queries[i] for i in used_q], [self.titles[i] for i in used_t], rows_q, rows_t)


def _shifted(indices: list[IndexArray], texts: list[int], rows: list[int]) -> IndexArray:
    """Return one index over the concatenated texts."""
    before = np.cumsum([0, *texts[:-1]])
    joined: IndexArray = np.concatenate(indices) + np.repeat(before, rows)
    return joined


def _index(index: ArrayLike, texts: int, field: str, column: str) -> IndexArray:
    rows = np.asarray(index, dtype=np.int64)
    if rows.size == 0:
        return np.arange(texts, dtype=np.int64)
    if rows.min() < 0 or rows.max() >= texts:
        row = int(np.flatnonzero((rows < 0) | (rows >= texts))[0])
        raise RequestError(field, f"row {row} points to {int(rows[row])}, but {column} has {texts} entries")
    return rows
