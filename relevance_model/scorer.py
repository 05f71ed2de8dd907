"""Scores pairs with a bundle: encode each distinct text once, then run the pair graph over rows sorted by length.

A score is a property of the pair. It does not depend on the other rows, on their order, on padding or on what the cache
holds: graphs take true lengths, rows are cut to fixed micro-batches, and nothing is scaled by the batch.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relevance_model.bundle import TOKENIZER, Bundle
from relevance_model.column import Column
from relevance_model.encoder import DEFAULT_MAX_TEXT_BYTES, TextEncoder
from relevance_model.graph import Graph
from relevance_model.pairs import IndexArray, Pairs
from relevance_model.text_cache import ABSENT

DEFAULT_MICRO_BATCH = 32
DEFAULT_CACHE_BYTES = 64 << 20
# Rows handled at a time; bounds the working memory and the distinct texts of one cache batch.
CHUNK_ROWS = 4096

_PAIR_INPUTS = frozenset({"query_ids", "query_length", "query_state", "title_ids", "title_length", "title_state"})


@dataclass(slots=True)
class Scores:
    """The answer to a :class:`Pairs`.

    Attributes
    ----------
    scores
        float32 [rows], calibrated probability of relevance; NaN where the row failed.
    labels
        uint8 [rows], position in the bundle's labels; 0 where the row failed.
    faults
        Row number to the reason it failed, ascending.
    encode_seconds, infer_seconds
        Wall time spent on tokenisation and in the graphs.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.uint8]
    faults: dict[int, str] = field(default_factory=dict)
    encode_seconds: float = 0.0
    infer_seconds: float = 0.0


class Scorer:
    """A loaded bundle, ready to score. Safe to call from several threads; calls run one at a time.

    Parameters
    ----------
    bundle
        A verified bundle.
    threads
        Threads of one graph run.
    micro_batch
        Rows of one graph run: few enough that a step's matrices stay in the core's cache.
    cache_bytes
        Bound on the memory of cached texts, shared evenly by queries and titles.
    max_text_bytes
        UTF-8 bytes above which a text fails its row.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        micro_batch: int = DEFAULT_MICRO_BATCH,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.max_text_bytes = max_text_bytes
        self._micro_batch = micro_batch
        self._lock = threading.Lock()

        def column(graph: str | None, max_tokens: int, *, leading_cls: bool) -> Column:
            encoder = TextEncoder(
                bundle.path / TOKENIZER, max_tokens=max_tokens, leading_cls=leading_cls, max_text_bytes=max_text_bytes
            )
            return Column(
                encoder,
                graph_file=bundle.path / graph if graph else None,
                max_tokens=max_tokens,
                threads=threads,
                micro_batch=micro_batch,
                cache_bytes=cache_bytes // 2,
                min_rows=CHUNK_ROWS,
            )

        self.queries = column(manifest.graphs.query, manifest.max_query_tokens, leading_cls=True)
        self.titles = column(manifest.graphs.title, manifest.max_title_tokens, leading_cls=False)
        self._pair = Graph(
            bundle.path / manifest.graphs.pair, allowed_inputs=_PAIR_INPUTS, output="logit", threads=threads
        )

    def score(self, pairs: Pairs) -> Scores:
        """Score every row.

        A row whose text is empty, unreadable or too long gets NaN and a reason; all others are unaffected.
        """
        rows = len(pairs)
        result = Scores(np.full(rows, np.nan, np.float32), np.zeros(rows, np.uint8))
        with self._lock:
            for start in range(0, rows, CHUNK_ROWS):
                stop = min(start + CHUNK_ROWS, rows)
                whole = start == 0 and stop == rows and max(len(pairs.queries), len(pairs.titles)) <= CHUNK_ROWS
                self._score_chunk(pairs if whole else pairs.rows(start, stop), start, result)
        calibration = self.bundle.manifest.calibration
        logits = result.scores.astype(np.float64)
        result.scores = (
            1.0 / (1.0 + np.exp(-np.clip(calibration.slope * logits + calibration.intercept, -80.0, 80.0)))
        ).astype(np.float32)
        result.labels = (result.scores >= np.float32(self.bundle.manifest.threshold)).astype(np.uint8)
        return result

    def score_texts(self, queries: Sequence[str], titles: Sequence[str], index: ArrayLike = ()) -> Scores:
        """Score ``titles`` row by row, against ``queries[index[i]]`` or, without an index, ``queries[i]``."""
        return self.score(Pairs.from_columns(queries, titles, index))

    def _score_chunk(self, pairs: Pairs, offset: int, result: Scores) -> None:
        """Write the logits of ``pairs`` to ``result.scores[offset:]``, and its faults and timings beside them."""
        query_rows, query_faults = self.queries.resolve(pairs.queries)
        title_rows, title_faults = self.titles.resolve(pairs.titles)
        for column in (self.queries, self.titles):
            result.encode_seconds += column.encode_seconds
            result.infer_seconds += column.infer_seconds
        rows_q = query_rows[pairs.query_index]
        rows_t = title_rows[pairs.title_index]
        failed = (rows_q == ABSENT) | (rows_t == ABSENT)
        for row in np.flatnonzero(failed).tolist():
            fault_q = query_faults.get(int(pairs.query_index[row]))
            fault_t = title_faults.get(int(pairs.title_index[row]))
            reasons = [f"query {fault_q}"] * (fault_q is not None) + [f"title {fault_t}"] * (fault_t is not None)
            result.faults[offset + row] = "; ".join(reasons)
        good = np.flatnonzero(~failed)
        started = perf_counter()
        result.scores[offset + good] = self._logits(rows_q[good], rows_t[good])
        result.infer_seconds += perf_counter() - started

    def _logits(self, rows_q: IndexArray, rows_t: IndexArray) -> NDArray[np.float32]:
        """Run the pair graph over cache rows, shortest first; the answer is in the rows' own order."""
        lengths_q = self.queries.cache.lengths[rows_q]
        lengths_t = self.titles.cache.lengths[rows_t]
        order = np.lexsort((lengths_q, lengths_t))
        logits = np.empty(len(order), np.float32)
        for start in range(0, len(order), self._micro_batch):
            batch = order[start : start + self._micro_batch]
            feed = self.queries.feed("query", rows_q[batch], self._pair.inputs)
            feed |= self.titles.feed("title", rows_t[batch], self._pair.inputs)
            logits[batch] = self._pair.run(feed)
        return logits
