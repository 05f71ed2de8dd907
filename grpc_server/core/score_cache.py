"""An LRU cache of scores: a repeated pair is answered without running the model.

A score depends on the pair and the model only, so a cached score equals a computed one. Each model version has its own
entries, which are freed with the version. The key is a digest of the texts, so that all entries have the same size. The
parts of a pair that is explained are not looked up: they hardly repeat.
"""

from __future__ import annotations

import threading
from hashlib import blake2b
from weakref import WeakKeyDictionary

import numpy as np

from grpc_server.core.observer import CacheUse
from relevance_model import LogitScorer, Pairs, Scorer, Scores

# Measured: a digest, a score and a label in a dict that is half full.
ENTRY_BYTES = 240
_DIGEST_BYTES = 16
_MAX_PLAIN_BYTES = 512

_Entries = dict[bytes, tuple[float, int]]


class ScoreCache:
    """Scores pairs from the cache, and the others with the scorer.

    Parameters
    ----------
    max_bytes
        Memory for the scores of one model version; 0 disables the cache.
    """

    def __init__(self, max_bytes: int) -> None:
        self._capacity = max_bytes // ENTRY_BYTES
        self._entries: WeakKeyDictionary[Scorer, _Entries] = WeakKeyDictionary()
        # The engine's thread and the event loop both score.
        self._lock = threading.Lock()

    def entries(self, scorer: Scorer) -> int:
        """Return the number of cached scores of that model version."""
        return len(self._entries.get(scorer, ()))

    @property
    def capacity(self) -> int:
        """Return the number of scores of one model version that fit."""
        return self._capacity

    def score(self, scorer: Scorer, pairs: Pairs) -> tuple[Scores, CacheUse]:
        """Return the scores of all rows, and how many were cached."""
        if not self._capacity or isinstance(scorer, LogitScorer):
            return scorer.score(pairs), CacheUse(0, 0)
        keys = _keys(pairs)
        with self._lock:
            entries = self._entries.setdefault(scorer, {})
            cached = {row: entries[key] for row, key in enumerate(keys) if key in entries}
            for row, entry in cached.items():
                # Move to the end: insertion order is LRU order.
                del entries[keys[row]]
                entries[keys[row]] = entry
        if not cached:
            result = scorer.score(pairs)
            self._store(entries, keys, result)
            return result, CacheUse(0, len(keys))
        result = Scores(np.full(len(keys), np.nan, np.float32), np.zeros(len(keys), np.uint8))
        for row, (score, label) in cached.items():
            result.scores[row], result.labels[row] = score, label
        missing = [row for row in range(len(keys)) if row not in cached]
        if missing:
            rest = scorer.score(pairs.select(missing))
            self._store(entries, [keys[row] for row in missing], rest)
            result.scores[missing], result.labels[missing] = rest.scores, rest.labels
            result.errors = {missing[row]: error for row, error in rest.errors.items()}
            result.tokenize_seconds, result.infer_seconds = rest.tokenize_seconds, rest.infer_seconds
        return result, CacheUse(len(cached), len(missing))

    def _store(self, entries: _Entries, keys: list[bytes], result: Scores) -> None:
        scores, labels = result.scores.tolist(), result.labels.tolist()
        with self._lock:
            for row, key in enumerate(keys):
                if row not in result.errors:
                    entries[key] = (scores[row], labels[row])
            while len(entries) > self._capacity:
                del entries[next(iter(entries))]


def _keys(pairs: Pairs) -> list[bytes]:
    queries = [_bounded(text.encode("utf-8", "surrogatepass")) for text in pairs.queries]
    titles = [_bounded(text.encode("utf-8", "surrogatepass")) for text in pairs.titles]
    rows = zip(pairs.query_index.tolist(), pairs.title_index.tolist(), strict=True)
    return [_key(queries[query], titles[title]) for query, title in rows]


def _bounded(text: bytes) -> bytes:
    """Return a short text as it is, and a long one as its beginning and its digest, so that it is hashed only once."""
    if len(text) <= _MAX_PLAIN_BYTES:
        return text
    return text[:_MAX_PLAIN_BYTES] + blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _key(query: bytes, title: bytes) -> bytes:
    # The query's length distinguishes pairs whose concatenated texts are equal.
    digest = blake2b(len(query).to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
    digest.update(query)
    digest.update(title)
    return digest.digest()
