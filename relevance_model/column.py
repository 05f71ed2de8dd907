"""One column of the pairs, queries or titles: its encoder, its per-text graph if the model has one, and its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from relevance_model.encoder import EncodedText, TextEncoder
from relevance_model.graph import Feed, Graph
from relevance_model.pairs import IndexArray
from relevance_model.text_cache import ABSENT, TextCache

_TEXT_INPUTS = frozenset({"ids", "length"})


class Column:
    """Turns texts into cache rows that hold token ids, length and state.

    Attributes
    ----------
    cache
        Where the rows live.
    encode_seconds, infer_seconds
        What the last :meth:`resolve` spent on tokenisation and in the text graph.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        graph_file: Path | None,
        max_tokens: int,
        threads: int,
        micro_batch: int,
        cache_bytes: int,
        min_rows: int,
    ) -> None:
        self._encoder = encoder
        self._micro_batch = micro_batch
        self._graph = (
            Graph(graph_file, allowed_inputs=_TEXT_INPUTS, output="state", threads=threads) if graph_file else None
        )
        self.cache = TextCache(
            max_bytes=cache_bytes,
            max_tokens=max_tokens,
            state_size=self._graph.state_size() if self._graph else 0,
            min_rows=min_rows,
        )
        self.encode_seconds = 0.0
        self.infer_seconds = 0.0

    def resolve(self, texts: Sequence[str]) -> tuple[IndexArray, dict[int, str]]:
        """Return each text's cache row (``ABSENT`` if it cannot be read) and, by position, why it cannot.

        The rows stay valid until the next call.
        """
        self.encode_seconds = self.infer_seconds = 0.0
        rows = self.cache.find(texts)
        missing = np.flatnonzero(rows == ABSENT)
        if missing.size == 0:
            return rows, {}
        started = perf_counter()
        fresh = list(dict.fromkeys(texts[i] for i in missing.tolist()))
        encoded = dict(zip(fresh, self._encoder.encode(fresh), strict=True))
        self.encode_seconds = perf_counter() - started
        row_of = self._fill({text: code for text, code in encoded.items() if code.fault is None})
        self.infer_seconds = perf_counter() - started - self.encode_seconds
        faults: dict[int, str] = {}
        for i in missing.tolist():
            fault = encoded[texts[i]].fault
            if fault is None:
                rows[i] = row_of[texts[i]]
            else:
                faults[i] = fault
        return rows, faults

    def feed(self, name: str, rows: IndexArray, wanted: frozenset[str]) -> Feed:
        """Return the pair graph's inputs for ``rows``, those it wants, with ids padded to the longest of them."""
        feed: Feed = {}
        lengths = self.cache.lengths[rows]
        if f"{name}_ids" in wanted:
            feed[f"{name}_ids"] = self.cache.tokens[rows, : lengths.max()]
        if f"{name}_length" in wanted:
            feed[f"{name}_length"] = lengths
        if f"{name}_state" in wanted:
            feed[f"{name}_state"] = self.cache.states[rows]
        return feed

    def _fill(self, encoded: dict[str, EncodedText]) -> dict[str, int]:
        rows = self.cache.allocate(len(encoded))
        for row, code in zip(rows.tolist(), encoded.values(), strict=True):
            self.cache.lengths[row] = length = len(code.ids)
            self.cache.tokens[row, :length] = code.ids
            self.cache.tokens[row, length:] = self._encoder.pad_id
        if self._graph is not None:
            by_length = rows[np.argsort(self.cache.lengths[rows], kind="stable")]
            for start in range(0, len(by_length), self._micro_batch):
                batch = by_length[start : start + self._micro_batch]
                lengths = self.cache.lengths[batch]
                ids = self.cache.tokens[batch, : lengths.max()]
                self.cache.states[batch] = self._graph.run({"ids": ids, "length": lengths})
        self.cache.publish(list(encoded), rows)
        return dict(zip(encoded, rows.tolist(), strict=True))
