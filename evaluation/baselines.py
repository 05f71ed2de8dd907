"""Scorers that nobody trained, to compare a model with: shared words, and BM25."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.query_text import words_of

_K1: Final = 1.2
_B: Final = 0.75

Floats = npt.NDArray[np.float32]


class Bm25:
    """Okapi BM25 over a fixed set of titles (Robertson & Zaragoza, 2009), plurals ignored.

    Parameters
    ----------
    titles
        The collection that document frequencies and the mean length are taken from.

    Examples
    --------
    >>> index = Bm25(["red shoes", "blue shoes for men", "red hat"])
    >>> index.best("red shoe", 2).tolist()
    [0, 2]
    """

    def __init__(self, titles: Sequence[str]) -> None:
        self._count = len(titles)
        self._with_word: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths = np.zeros(max(1, len(titles)), dtype=np.float32)
        for row, title in enumerate(titles):
            counts = Counter(words_of(title))
            self._lengths[row] = sum(counts.values())
            for word, count in counts.items():
                self._with_word[word].append((row, count))
        self._mean = max(1.0, float(self._lengths.mean()))
        self._postings: dict[str, tuple[npt.NDArray[np.int64], Floats]] = {}

    def idf(self, word: str) -> float:
        """Return the inverse document frequency of a word, above 0."""
        holding = len(self._with_word.get(word, ()))
        return math.log(1.0 + (self._count - holding + 0.5) / (holding + 0.5))

    def score(self, query: str, title: str) -> float:
        """Return the score of a title, which need not be in the collection."""
        counts = Counter(words_of(title))
        norm = _K1 * (1.0 - _B + _B * sum(counts.values()) / self._mean)
        words = dict.fromkeys(words_of(query))
        return sum(self.idf(w) * counts[w] * (_K1 + 1.0) / (counts[w] + norm) for w in words if w in counts)

    def best(self, query: str, count: int) -> npt.NDArray[np.int64]:
        """Return the rows of at most `count` titles that share a word with `query`, best first, int64."""
        found: list[npt.NDArray[np.int64]] = []
        scores: list[Floats] = []
        for word in dict.fromkeys(words_of(query)):
            rows, gains = self._posting(word)
            found.append(rows)
            scores.append(gains)
        if not found:
            return np.zeros(0, dtype=np.int64)
        rows, position = np.unique(np.concatenate(found), return_inverse=True)
        total = np.bincount(position, weights=np.concatenate(scores), minlength=len(rows))
        top = np.argsort(-total, kind="stable")[:count]
        best: npt.NDArray[np.int64] = rows[top]
        return best

    def _posting(self, word: str) -> tuple[npt.NDArray[np.int64], Floats]:
        if word not in self._postings:
            entries = np.array(self._with_word.get(word, []), dtype=np.int64).reshape(-1, 2)
            rows, counts = entries[:, 0], entries[:, 1].astype(np.float32)
            norm = _K1 * (1.0 - _B + _B * self._lengths[rows] / self._mean)
            gains = np.float32(self.idf(word)) * counts * (_K1 + 1.0) / (counts + norm)
            self._postings[word] = rows, gains.astype(np.float32)
        return self._postings[word]


def token_overlap(queries: Sequence[str], titles: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the share of each query's distinct words that its title also has, float64 [N]."""
    shares = []
    for query, title in zip(queries, titles, strict=True):
        words = set(words_of(query))
        shares.append(len(words & set(words_of(title))) / len(words) if words else 0.0)
    return np.array(shares)
