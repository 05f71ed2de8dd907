"""Features of a pair that need no training: word overlap, BM25, and products of the frozen encoder's embeddings."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.leakage import words_of

_K1, _B = 1.2, 0.75
_NUMBER: Final = re.compile(r"\d")
_GRAMS: Final = 3
OVERLAP_FEATURES: Final = 14

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


def overlap_features(queries: Sequence[str], titles: Sequence[str], index: Bm25) -> Floats:
    """Return the word overlap of each pair: 13 features, and BM25 as the last, float32 [N, 14]."""
    rows = np.zeros((len(queries), OVERLAP_FEATURES), dtype=np.float32)
    for i, (query, title) in enumerate(zip(queries, titles, strict=True)):
        rows[i] = [*_overlap(words_of(query), words_of(title), index), index.score(query, title)]
    return rows


def vector_features(q: npt.NDArray[np.float16], t: npt.NDArray[np.float16]) -> Floats:
    """Return product and distance of unit vectors [N, D], and their cosine as the last column, float32 [N, 2 D + 1]."""
    query, title = q.astype(np.float32), t.astype(np.float32)
    product = query * title
    return np.concatenate([product, np.abs(query - title), product.sum(1, keepdims=True)], axis=1)


def _overlap(query: list[str], title: list[str], index: Bm25) -> list[float]:
    wanted, offered = set(query), set(title)
    shared = wanted & offered
    weight = {word: index.idf(word) for word in wanted}
    total = sum(weight.values()) or 1.0
    near = {word for word in wanted - shared if any(_contains_other(word, other) for other in offered)}
    numbers = {word for word in wanted if _NUMBER.search(word)}
    positions = [title.index(word) for word in shared]
    pairs = set(pairwise(query))
    together = pairs & set(pairwise(title))
    grams_q, grams_t = _grams(query), _grams(title)
    common = len(grams_q & grams_t)
    return [
        len(shared) / max(1, len(wanted)),
        sum(weight[word] for word in shared) / total,
        sum(weight[word] for word in shared | near) / total,
        min((weight[word] for word in wanted - shared - near), default=0.0),
        max((weight[word] for word in wanted - shared - near), default=0.0),
        len(shared) / max(1, len(offered)),
        len(together) / max(1, len(pairs)),
        common / max(1, len(grams_q)),
        common / max(1, len(grams_q | grams_t)),
        len(numbers & offered) / len(numbers) if numbers else -1.0,
        min(positions) / max(1, len(title)) if positions else 1.5,
        float(len(query)),
        float(len(title)),
    ]


def _contains_other(word: str, other: str) -> bool:
    """Return whether one word contains the other, as *notebook* contains *book*; both have four letters or more."""
    return min(len(word), len(other)) >= 4 and (word in other or other in word)


def _grams(words: Iterable[str]) -> set[str]:
    text = f" {' '.join(words)} "
    return {text[i : i + _GRAMS] for i in range(len(text) - _GRAMS + 1)}
