"""The charge of a request in tokens, estimated before its texts are tokenized; requests are split by it.

A row is charged the tokens that the model reads of its texts, and the cost of tokenizing their bytes. The charge may be
too high for cached texts; it is never far too low, whatever the texts contain.
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
# Tokenizing this many bytes of the costliest texts takes as long as one token takes the model. Measured:
# `python -m benchmarks.hostile_texts`.
_TOKENIZED_BYTES_PER_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Charge:
    """The charge of a request.

    Attributes
    ----------
    pairs
        The rows, without texts that no row uses; those are neither charged nor read.
    tokens
        The sum over the rows.
    by_row
        int64 [rows]; `None` for a single row.
    """

    pairs: Pairs
    tokens: int
    by_row: NDArray[np.int64] | None

    def split_by_tokens(self, budget: int) -> list[tuple[Pairs, int]]:
        """Return consecutive parts of up to `budget` tokens, each of at least one row, with their tokens."""
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
    """Return the charge of `pairs` for the model of `manifest`, without tokenizing them.

    Examples
    --------
    >>> from relevance_model import Bundle
    >>> pairs = Pairs.from_columns(["red shoes"] * 3, ["Red canvas shoes"] * 3)
    >>> charged = charge(pairs, Bundle.default().manifest)
    >>> charged.tokens, [len(part) for part, _ in charged.split_by_tokens(20)]
    (27, [2, 1])
    """
    max_query, max_title = manifest.max_query_tokens, manifest.max_title_tokens
    if len(pairs) == 1:
        query, title = pairs.queries[pairs.query_index[0]], pairs.titles[pairs.title_index[0]]
        tokens = _text_tokens(query, max_query) + _text_tokens(title, max_title) + _SPECIAL_TOKENS
        return Charge(pairs, tokens, None)
    if not (_all_used(pairs.query_index, pairs.queries) and _all_used(pairs.title_index, pairs.titles)):
        pairs = pairs.rows(0, len(pairs))
    of_queries = np.fromiter((_text_tokens(text, max_query) for text in pairs.queries), np.int64, len(pairs.queries))
    of_titles = np.fromiter((_text_tokens(text, max_title) for text in pairs.titles), np.int64, len(pairs.titles))
    by_row = of_queries[pairs.query_index] + of_titles[pairs.title_index] + _SPECIAL_TOKENS
    return Charge(pairs, int(by_row.sum()), by_row)


def _text_tokens(text: str, max_tokens: int) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return min(size // _BYTES_PER_TOKEN, max_tokens) + size // _TOKENIZED_BYTES_PER_TOKEN


def _all_used(index: NDArray[np.int64], texts: Sequence[str]) -> bool:
    return len(texts) == 1 or bool(np.bincount(index, minlength=len(texts)).all())
