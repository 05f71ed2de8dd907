"""What a request will cost, before it is encoded, and large ones cut into pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relevance_model import Pairs

# WordPiece yields about one token for this many characters.
_CHARACTERS_PER_TOKEN = 4
_SPECIAL_TOKENS = 3


def estimate_tokens(pairs: Pairs) -> NDArray[np.int64]:
    """Return about how many tokens the model must read for each row, without encoding it; int64 [rows]."""
    query_sizes = np.fromiter(map(len, pairs.queries), np.int64, len(pairs.queries))
    title_sizes = np.fromiter(map(len, pairs.titles), np.int64, len(pairs.titles))
    characters = query_sizes[pairs.query_index] + title_sizes[pairs.title_index]
    return characters // _CHARACTERS_PER_TOKEN + _SPECIAL_TOKENS


def cut_to_budget(pairs: Pairs, budget: int) -> list[tuple[Pairs, int]]:
    """Cut ``pairs`` into runs of rows of up to ``budget`` tokens each, at least one row; with each run's tokens."""
    if len(pairs) == 1:
        characters = len(pairs.queries[pairs.query_index[0]]) + len(pairs.titles[pairs.title_index[0]])
        return [(pairs, characters // _CHARACTERS_PER_TOKEN + _SPECIAL_TOKENS)]
    tokens = estimate_tokens(pairs)
    total = int(tokens.sum())
    if total <= budget:
        return [(pairs, total)]
    running = np.cumsum(tokens)
    parts = []
    start = 0
    while start < len(pairs):
        done = int(running[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(running, done + budget, side="right")))
        parts.append((pairs.rows(start, stop), int(running[stop - 1]) - done))
        start = stop
    return parts
