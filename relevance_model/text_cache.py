"""A cache of per-text work, bounded in bytes and laid out for gathering.

Rows are in a few flat arrays, so that the token ids and states of a batch are gathered by one fancy index each, without
Python objects per row. Eviction is CLOCK (Corbató, 1968): close to LRU, without a move on a hit. A batch never
evicts its own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relevance_model.pairs import IndexArray

ABSENT = -1

# Approximate bytes of a key: the str of a typical title, the dict entry and the list slot.
_KEY_BYTES = 240
# Longer texts are keyed by a digest, or a few thousand of them would need more memory than all rows.
_LONGEST_KEY = 128


class CacheStats(NamedTuple):
    """State of a text cache.

    Attributes
    ----------
    hits, misses
        Texts found since the start, and texts that had to be encoded.
    entries, capacity
        Texts held now, and texts that fit.
    """

    hits: int
    misses: int
    entries: int
    capacity: int


class TextCache:
    """Maps texts to row numbers of `tokens`, `lengths` and `states`.

    Parameters
    ----------
    max_bytes
        Bound on arrays and keys together; at least `min_rows` rows are held in any case.
    max_tokens
        Columns of `tokens`.
    state_size
        Columns of `states`; 0 if the model keeps no per-text state.
    min_rows
        Largest number of distinct texts in one batch.

    Attributes
    ----------
    tokens
        int32 [rows, max_tokens].
    lengths
        int32 [rows].
    states
        float32 [rows, state_size].
    hits, misses
        Texts found so far, and texts that had to be allocated.
    """

    def __init__(self, *, max_bytes: int, max_tokens: int, state_size: int, min_rows: int) -> None:
        row_bytes = 4 * (max_tokens + 1 + state_size) + _KEY_BYTES
        self.capacity = max(min_rows, max_bytes // row_bytes)
        # Zeroed pages are not resident until they are written.
        self.tokens = np.zeros((self.capacity, max_tokens), np.int32)
        self.lengths = np.zeros(self.capacity, np.int32)
        self.states: NDArray[np.float32] = np.zeros((self.capacity, state_size), np.float32)
        self.hits = 0
        self.misses = 0
        self._row_of: dict[str | bytes, int] = {}
        self._key_of: list[str | bytes | None] = [None] * self.capacity
        self._referenced = np.zeros(self.capacity, np.bool_)
        self._pinned_in = np.zeros(self.capacity, np.int64)
        self._batch = 0
        self._hand = 0

    def __len__(self) -> int:
        """Return the number of texts held."""
        return len(self._row_of)

    def stats(self) -> CacheStats:
        """Return the counters and the size."""
        return CacheStats(self.hits, self.misses, len(self._row_of), self.capacity)

    def find(self, texts: Sequence[str]) -> IndexArray:
        """Start a batch: return each text's row, or `ABSENT`; rows found are not evicted until the next."""
        self._batch += 1
        get = self._row_of.get
        rows = np.fromiter((get(_key(text), ABSENT) for text in texts), np.int64, len(texts))
        found = rows[rows != ABSENT]
        self._referenced[found] = True
        self._pinned_in[found] = self._batch
        self.hits += len(found)
        return rows

    def find_one(self, text: str) -> int:
        """Start a batch of one text, as `find` does."""
        self._batch += 1
        row = self._row_of.get(_key(text), ABSENT)
        if row != ABSENT:
            self._referenced[row] = True
            self._pinned_in[row] = self._batch
            self.hits += 1
        return row

    def allocate(self, count: int) -> list[int]:
        """Return `count` rows to fill, evicting others if necessary; `publish` makes them visible."""
        self.misses += count
        return [self._free() for _ in range(count)]

    def publish(self, texts: Sequence[str], rows: Sequence[int]) -> None:
        """Assign filled rows to their texts. Rows of a batch that failed before this call stay free."""
        for text, row in zip(texts, rows, strict=True):
            self._row_of[key := _key(text)] = row
            self._key_of[row] = key
            self._referenced[row] = True

    def _free(self) -> int:
        row = self._next_free()
        self._pinned_in[row] = self._batch
        evicted = self._key_of[row]
        if evicted is not None:
            del self._row_of[evicted]
            self._key_of[row] = None
        return row

    def _next_free(self) -> int:
        for _ in range(2 * self.capacity + 1):
            row = self._hand
            self._hand = (row + 1) % self.capacity
            if self._pinned_in[row] == self._batch:
                continue
            if self._referenced[row]:
                self._referenced[row] = False
                continue
            return row
        raise AssertionError(f"one batch brought more than the {self.capacity} distinct texts that the cache can hold")


def _key(text: str) -> str | bytes:
    if len(text) <= _LONGEST_KEY:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
