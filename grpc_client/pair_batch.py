"""Pairs in columns, as `ScoreBatch` carries them, and how to cut them in half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PairBatch:
    """Row i is `(queries[query_index[i]], titles[title_index[i]])`; an empty index means row by row."""

    queries: Sequence[str]
    titles: Sequence[str]
    query_index: Sequence[int] = ()
    title_index: Sequence[int] = ()

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return len(self.query_index) or len(self.queries)

    def places(self, row: int) -> tuple[int, int]:
        """Return where a row's query and title are in their columns."""
        return (
            self.query_index[row] if self.query_index else row,
            self.title_index[row] if self.title_index else row,
        )

    def halves(self) -> tuple[PairBatch, PairBatch]:
        """Cut the rows in the middle; each half keeps only the texts that it uses."""
        middle = self.rows // 2
        return self._part(0, middle), self._part(middle, self.rows)

    def _part(self, start: int, stop: int) -> PairBatch:
        queries, query_index = _part_of_column(self.queries, self.query_index, start, stop)
        titles, title_index = _part_of_column(self.titles, self.title_index, start, stop)
        return PairBatch(queries, titles, query_index, title_index)


def _part_of_column(
    texts: Sequence[str], index: Sequence[int], start: int, stop: int
) -> tuple[Sequence[str], Sequence[int]]:
    if not index:
        return texts[start:stop], ()
    part = index[start:stop]
    position = {old: new for new, old in enumerate(dict.fromkeys(part))}
    return [texts[old] for old in position], [position[old] for old in part]
