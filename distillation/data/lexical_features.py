"""Features of a pair that need no training: word overlap, and products of the frozen encoder's embeddings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from evaluation.baselines import Bm25
from evaluation.query_text import words_of

_NUMBER: Final = re.compile(r"\d")
_GRAMS: Final = 3
OVERLAP_FEATURES: Final = 14

Floats = npt.NDArray[np.float32]


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
