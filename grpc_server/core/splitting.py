"""What a request is charged, before it is encoded, and large ones cut into pieces.

The charge is in tokens: those that the model reads of each row's texts, and what it takes to look through their bytes.
It may be too high for texts that are known already; it is never far too low, whatever the texts are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relevance_model import BundleManifest, Pairs

# WordPiece yields about one token for this many bytes.
_BYTES_PER_TOKEN = 4
_SPECIAL_TOKENS = 3
# To tokenize so many bytes of the costliest texts takes as long as the model takes for one token. Measured:
# `python -m benchmarks.hostile_texts`.
_BYTES_LIKE_A_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request is charged.

    Attributes
    ----------
    pairs
        The rows, without texts that none of them uses: those are not read.
    tokens
        The sum over the rows.
    by_row
        int64 [rows]; `None` for a single row.
    """

    pairs: Pairs
    tokens: int
    by_row: NDArray[np.int64] | None

    def cut(self, budget: int) -> list[tuple[Pairs, int]]:
        """Return runs of rows of up to `budget` tokens each, at least one row; with each run's tokens."""
        pairs, by_row = self.pairs, self.by_row
        if by_row is None or self.tokens <= budget:
            return [(pairs, self.tokens)]
        running = np.cumsum(by_row)
        parts = []
        start = 0
        while start < len(pairs):
            done = int(running[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(running, done + budget, side="right")))
            parts.append((pairs.rows(start, stop), int(running[stop - 1]) - done))
            start = stop
        return parts


def charge(pairs: Pairs, manifest: BundleManifest) -> Charge:
    """Return what `pairs` are charged if the model of `manifest` reads them, without encoding them."""
    most_query, most_title = manifest.max_query_tokens, manifest.max_title_tokens
    if len(pairs) == 1:
        query, title = pairs.queries[pairs.query_index[0]], pairs.titles[pairs.title_index[0]]
        tokens = _text_tokens(query, most_query) + _text_tokens(title, most_title) + _SPECIAL_TOKENS
        return Charge(pairs, tokens, None)
    if not (_all_used(pairs.query_index, pairs.queries) and _all_used(pairs.title_index, pairs.titles)):
        pairs = pairs.rows(0, len(pairs))
    of_queries = np.fromiter((_text_tokens(text, most_query) for text in pairs.queries), np.int64, len(pairs.queries))
    of_titles = np.fromiter((_text_tokens(text, most_title) for text in pairs.titles), np.int64, len(pairs.titles))
    by_row = of_queries[pairs.query_index] + of_titles[pairs.title_index] + _SPECIAL_TOKENS
    return Charge(pairs, int(by_row.sum()), by_row)


def _text_tokens(text: str, most: int) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return min(size // _BYTES_PER_TOKEN, most) + size // _BYTES_LIKE_A_TOKEN


def _all_used(index: NDArray[np.int64], texts: Sequence[str]) -> bool:
    return len(texts) == 1 or bool(np.bincount(index, minlength=len(texts)).all())
