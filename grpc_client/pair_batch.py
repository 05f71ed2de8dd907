"""Dictionary-encoded pairs, as `ScoreBatch` carries them, and how to split them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PairBatch:
    """Row i is `(queries[query_index[i]], titles[title_index[i]])`; a column with an empty index is read row by row.

    Examples
    --------
    >>> batch = PairBatch.of([("kettle", "Kettle 2 l"), ("kettle", "Red shoes")])
    >>> batch.queries, batch.query_index
    (['kettle'], [0, 0])
    >>> batch.halves()[1].titles
    ['Red shoes']
    """

    queries: Sequence[str]
    titles: Sequence[str]
    query_index: Sequence[int] = ()
    title_index: Sequence[int] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> PairBatch:
        """Return the batch of `(query, title)` pairs, each distinct text once per column."""
        queries: dict[str, int] = {}
        titles: dict[str, int] = {}
        positions = [(queries.setdefault(q, len(queries)), titles.setdefault(t, len(titles))) for q, t in pairs]
        return cls(list(queries), list(titles), [query for query, _ in positions], [title for _, title in positions])

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return len(self.query_index) or len(self.queries)

    def positions(self, row: int) -> tuple[int, int]:
        """Return the positions of a row's query and title in their columns."""
        return (
            self.query_index[row] if self.query_index else row,
            self.title_index[row] if self.title_index else row,
        )

    def halves(self) -> tuple[PairBatch, PairBatch]:
        """Return the first and the second half of the rows, each over the texts that it uses."""
        middle = self.rows // 2
        return self._slice(0, middle), self._slice(middle, self.rows)

    def _slice(self, start: int, stop: int) -> PairBatch:
        queries, query_index = _slice_column(self.queries, self.query_index, start, stop)
        titles, title_index = _slice_column(self.titles, self.title_index, start, stop)
        return PairBatch(queries, titles, query_index, title_index)


def _slice_column(
    texts: Sequence[str], index: Sequence[int], start: int, stop: int
) -> tuple[Sequence[str], Sequence[int]]:
    if not index:
        return texts[start:stop], ()
    used = index[start:stop]
    position = {old: new for new, old in enumerate(dict.fromkeys(used))}
    return [texts[old] for old in position], [position[old] for old in used]
