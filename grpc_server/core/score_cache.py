"""Scores of pairs that were asked before: a repeated pair runs no graph.

A score is a property of the pair and the model, so a kept one is as good as a new one. Each model version has scores of
its own, which go when the version goes. Pairs are known by a digest of their texts, so that an entry has the same size
whatever was asked, and the one that was not asked for longest makes room for a new one.
"""

from __future__ import annotations

import threading
from hashlib import blake2b
from weakref import WeakKeyDictionary

import numpy as np

from grpc_server.core.observer import CacheUse
from relevance_model import Pairs, Scorer, Scores

# Measured: a digest, a score and a label in a dict, half of whose slots are free.
ENTRY_BYTES = 240
_DIGEST_BYTES = 16
_LONGEST_TEXT = 512

_Entries = dict[bytes, tuple[float, int]]


class ScoreCache:
    """Scores pairs by a scorer, or from memory.

    Parameters
    ----------
    max_bytes
        Memory for the scores of one model version; 0 keeps none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._capacity = max_bytes // ENTRY_BYTES
        self._entries: WeakKeyDictionary[Scorer, _Entries] = WeakKeyDictionary()
        # The engine's thread and the event loop may both score.
        self._lock = threading.Lock()

    def entries(self, scorer: Scorer) -> int:
        """Return how many scores of that model version are kept."""
        return len(self._entries.get(scorer, ()))

    @property
    def capacity(self) -> int:
        """How many scores of one model version fit."""
        return self._capacity

    def score(self, scorer: Scorer, pairs: Pairs) -> tuple[Scores, CacheUse]:
        """Score every row, and tell how many were known."""
        if not self._capacity:
            return scorer.score(pairs), CacheUse(0, 0)
        keys = _keys(pairs)
        with self._lock:
            entries = self._entries.setdefault(scorer, {})
            known = {row: entries[key] for row, key in enumerate(keys) if key in entries}
            for row, entry in known.items():
                # Out and in again at the end: the first is always the one that was not asked for longest.
                del entries[keys[row]]
                entries[keys[row]] = entry
        if not known:
            result = scorer.score(pairs)
            self._keep(entries, keys, result)
            return result, CacheUse(0, len(keys))
        result = Scores(np.full(len(keys), np.nan, np.float32), np.zeros(len(keys), np.uint8))
        for row, (score, label) in known.items():
            result.scores[row], result.labels[row] = score, label
        unknown = [row for row in range(len(keys)) if row not in known]
        if unknown:
            rest = scorer.score(_rows(pairs, unknown))
            self._keep(entries, [keys[row] for row in unknown], rest)
            result.scores[unknown], result.labels[unknown] = rest.scores, rest.labels
            result.faults = {unknown[row]: fault for row, fault in rest.faults.items()}
            result.tokenize_seconds, result.infer_seconds = rest.tokenize_seconds, rest.infer_seconds
        return result, CacheUse(len(known), len(unknown))

    def _keep(self, entries: _Entries, keys: list[bytes], result: Scores) -> None:
        scores, labels = result.scores.tolist(), result.labels.tolist()
        with self._lock:
            for row, key in enumerate(keys):
                if row not in result.faults:
                    entries[key] = (scores[row], labels[row])
            while len(entries) > self._capacity:
                del entries[next(iter(entries))]


def _keys(pairs: Pairs) -> list[bytes]:
    queries = [_short(text.encode("utf-8", "surrogatepass")) for text in pairs.queries]
    titles = [_short(text.encode("utf-8", "surrogatepass")) for text in pairs.titles]
    rows = zip(pairs.query_index.tolist(), pairs.title_index.tolist(), strict=True)
    return [_key(queries[query], titles[title]) for query, title in rows]


def _short(text: bytes) -> bytes:
    """Return the text or, for a long one, what no short text equals: each of its rows would digest all of it."""
    return (
        text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + blake2b(text, digest_size=_DIGEST_BYTES).digest()
    )


def _key(query: bytes, title: bytes) -> bytes:
    # The query's length keeps apart pairs whose texts are the same when put together.
    digest = blake2b(len(query).to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
    digest.update(query)
    digest.update(title)
    return digest.digest()


def _rows(pairs: Pairs, rows: list[int]) -> Pairs:
    """Return some rows of `pairs`, over the texts they use."""
    used_q, rows_q = np.unique(pairs.query_index[rows], return_inverse=True)
    used_t, rows_t = np.unique(pairs.title_index[rows], return_inverse=True)
    return Pairs([pairs.queries[i] for i in used_q], [pairs.titles[i] for i in used_t], rows_q, rows_t)
