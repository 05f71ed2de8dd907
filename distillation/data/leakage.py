"""Train/test leakage: which queries are the same, which overlap, and the guard that keeps them out of training.

Folds and metrics treat queries as the same if they differ only in case, accents, punctuation and spaces (`plain`). The
guard also ignores plurals and the order of words. Queries overlap if one has all the other's words (*laptop*,
*gaming laptops*), or is the other written as one word (*smart watch*, *smartwatch*).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from evaluation.query_text import normalized_words, plain, singular


def overlapping_query_groups(queries: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return a group for each query, int64 [N]: the connected components of queries that overlap."""
    distinct = list(dict.fromkeys(queries))
    group = list(range(len(distinct)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    index = _Index(distinct)
    for number, query in enumerate(distinct):
        for other in index.overlapping(query):
            a, b = sorted((root(number), root(other)))
            group[b] = a
    group_of = {query: root(number) for number, query in enumerate(distinct)}
    return np.array([group_of[query] for query in queries], dtype=np.int64)


class QueryGuard:
    """Decides which queries must not be trained on because they are too similar to one that is evaluated.

    Parameters
    ----------
    evaluated
        Queries of the measured rows.
    kind
        `normalised` blocks queries that differ from an evaluated one only in writing, plurals or the order of words;
        `overlapping` also blocks overlapping ones.

    Examples
    --------
    >>> guard = QueryGuard(["gaming laptop"], "overlapping")
    >>> guard.blocks("Laptops"), guard.blocks("gaming chair")
    (True, False)
    """

    def __init__(self, evaluated: Iterable[str], kind: Literal["normalised", "overlapping"]) -> None:
        queries = list(dict.fromkeys(evaluated))
        self._kind = kind
        self._same = {_words(query) for query in queries}
        self._joined = {_joined(query) for query in queries}
        self._index = _Index(queries)
        self._known: dict[str, bool] = {}

    def blocks(self, query: str) -> bool:
        """Return whether `query` must be left out of training."""
        known = self._known.get(query)
        if known is None:
            known = _words(query) in self._same or _joined(query) in self._joined
            known = known or (self._kind == "overlapping" and next(self._index.overlapping(query), None) is not None)
            self._known[query] = known
        return known

    def passing(self, queries: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which of `queries` may be trained on, bool [N]."""
        return np.fromiter((not self.blocks(query) for query in queries), np.bool_, len(queries))


class _Index:
    """Finds overlapping queries by an inverted index: only queries that share a word are compared."""

    def __init__(self, queries: Sequence[str]) -> None:
        self._words = [_words(query) for query in queries]
        self._with_word: dict[str, list[int]] = defaultdict(list)
        self._with_joined: dict[str, list[int]] = defaultdict(list)
        for number, query in enumerate(queries):
            self._with_joined[_joined(query)].append(number)
            for word in self._words[number]:
                self._with_word[word].append(number)

    def overlapping(self, query: str) -> Iterator[int]:
        """Yield the numbers of the queries that overlap with `query`; a query overlaps with itself."""
        words = _words(query)
        seen = set()
        for number in self._with_joined.get(_joined(query), ()):
            seen.add(number)
            yield number
        for word in words:
            for number in self._with_word.get(word, ()):
                if number not in seen:
                    seen.add(number)
                    if self._words[number] <= words or words <= self._words[number]:
                        yield number


def _words(query: str) -> frozenset[str]:
    return frozenset(singular(word) for word in normalized_words(query))


def _joined(query: str) -> str:
    return singular(plain(query).replace(" ", ""))
