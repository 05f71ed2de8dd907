"""Scores pairs with a bundle: each distinct text is encoded once, then the pair graph runs over rows sorted by length.

A score depends on its pair only: not on other rows, their order, padding or the cache. The graphs take true lengths,
rows are split into fixed micro-batches, and nothing is scaled by the batch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relevance_model.bundle import TOKENIZER, Bundle
from relevance_model.onnx_graph import OnnxGraph
from relevance_model.pairs import IndexArray, Pairs
from relevance_model.text_cache import ABSENT, CacheStats, TextCache
from relevance_model.text_column import TextColumn
from relevance_model.text_encoder import TextEncoder
from relevance_model.tokenizer import DEFAULT_MAX_TEXT_BYTES, TextTokenizer
from relevance_model.wordpiece import WordPieces

DEFAULT_MICRO_BATCH = 32
DEFAULT_CACHE_BYTES = 64 << 20
# Rows per chunk: bounds the working memory and the distinct texts of one cache batch.
CHUNK_ROWS = 4096
# The same for the parts of texts of explanations, whose caches take 8 MB.
_PART_ROWS = 768

_NO_NUMBER = "the model gives no number for this pair"
_TEXT_INPUTS = frozenset({"ids", "length"})
_PAIR_INPUTS = frozenset({"query_ids", "query_length", "query_state", "title_ids", "title_length", "title_state"})


@dataclass(slots=True)
class Scores:
    """Scores of the rows of a `Pairs`.

    Attributes
    ----------
    scores
        float32 [rows], calibrated probability of relevance; NaN where the row failed.
    labels
        uint8 [rows], position in the bundle's labels; 0 where the row failed.
    errors
        Row number to the reason it failed, ascending.
    tokenize_seconds, infer_seconds
        Wall time spent on tokenisation and in the graphs.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.uint8]
    errors: dict[int, str] = field(default_factory=dict)
    tokenize_seconds: float = 0.0
    infer_seconds: float = 0.0


class Scorer:
    """Scores pairs with a loaded bundle. Safe to call from several threads; calls run one at a time.

    Parameters
    ----------
    bundle
        A verified bundle.
    threads
        Threads of one graph run.
    micro_batch
        Rows of one graph run: few enough that the matrices stay in the core's cache.
    cache_bytes
        Bound on the memory of cached texts.
    title_cache_share
        Share of `cache_bytes` for titles; the rest is for queries.
    max_text_bytes
        UTF-8 bytes of a text above which its row gets an error.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        micro_batch: int = DEFAULT_MICRO_BATCH,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        title_cache_share: float = 0.5,
        max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.max_text_bytes = max_text_bytes
        self._slope, self._intercept = manifest.calibration.slope, manifest.calibration.intercept
        self._threshold = np.float32(manifest.threshold)
        self._micro_batch = micro_batch
        self._lock = threading.Lock()

        self._pair = OnnxGraph(
            bundle.path / manifest.graphs.pair, allowed_inputs=_PAIR_INPUTS, output="logit", threads=threads
        )
        # A file that serves both columns is loaded once.
        self._text_graphs = {
            name: OnnxGraph(bundle.path / name, allowed_inputs=_TEXT_INPUTS, output="state", threads=threads)
            for name in dict.fromkeys((manifest.graphs.query, manifest.graphs.title))
            if name is not None
        }
        self._vocabulary = WordPieces(bundle.path / TOKENIZER)
        self._add_columns(
            query_bytes=int(cache_bytes * (1.0 - title_cache_share)),
            title_bytes=int(cache_bytes * title_cache_share),
            chunk_rows=CHUNK_ROWS,
        )

    def _add_columns(self, *, query_bytes: int, title_bytes: int, chunk_rows: int) -> None:
        """Make the tokenizers and caches, and connect them with the text graphs."""
        manifest = self.bundle.manifest
        self._chunk_rows = chunk_rows

        def column(name: str, max_tokens: int, max_bytes: int) -> TextColumn:
            tokenizer = TextTokenizer(
                self._vocabulary,
                max_tokens=max_tokens,
                leading_cls=name == "query",
                max_text_bytes=self.max_text_bytes,
            )
            cache = TextCache(
                max_bytes=max_bytes,
                max_tokens=max_tokens,
                state_size=self._pair.input_width(f"{name}_state"),
                min_rows=chunk_rows,
            )
            return TextColumn(tokenizer, cache)

        self.queries = column("query", manifest.max_query_tokens, query_bytes)
        self.titles = column("title", manifest.max_title_tokens, title_bytes)
        columns: dict[str, list[TextColumn]] = {}
        for name, each in ((manifest.graphs.query, self.queries), (manifest.graphs.title, self.titles)):
            if name is not None:
                columns.setdefault(name, []).append(each)
        self._passes = [
            (TextEncoder(self._text_graphs[name], [c.cache for c in served], micro_batch=self._micro_batch), served)
            for name, served in columns.items()
        ]

    def score(self, pairs: Pairs) -> Scores:
        """Score every row.

        A row whose text is empty, unreadable or too long, or for which the model gives no number, gets NaN and a
        reason; all others are unaffected.
        """
        with self._lock:
            if len(pairs) == 1:
                return self._score_one(pairs.queries[pairs.query_index[0]], pairs.titles[pairs.title_index[0]])
            result = self._score_chunks(pairs)
        exponent = self._exponents(result)
        result.scores = (1.0 / (1.0 + np.exp(-np.clip(exponent, -80.0, 80.0)))).astype(np.float32)
        result.labels = (result.scores >= self._threshold).astype(np.uint8)
        return result

    def _score_chunks(self, pairs: Pairs) -> Scores:
        """Return the logits of the graph in place of scores."""
        rows, most = len(pairs), self._chunk_rows
        result = Scores(np.full(rows, np.nan, np.float32), np.zeros(rows, np.uint8))
        for start in range(0, rows, most):
            stop = min(start + most, rows)
            whole = start == 0 and stop == rows and max(len(pairs.queries), len(pairs.titles)) <= most
            self._score_chunk(pairs if whole else pairs.rows(start, stop), start, result)
        empty = np.flatnonzero(np.isnan(result.scores)).tolist()
        if len(empty) > len(result.errors):
            result.errors = {row: result.errors.get(row, _NO_NUMBER) for row in empty}
        return result

    def _exponents(self, result: Scores) -> NDArray[np.float64]:
        """Return the calibrated logits of the graph's, which `result` holds."""
        exponents: NDArray[np.float64] = self._slope * result.scores.astype(np.float64) + self._intercept
        return exponents

    def cache_stats(self) -> dict[str, CacheStats]:
        """Return the state of the text caches, by column: `query` and `title`."""
        return {"query": self.queries.cache.stats(), "title": self.titles.cache.stats()}

    def score_texts(self, queries: Sequence[str], titles: Sequence[str], index: ArrayLike = ()) -> Scores:
        """Score `titles` row by row, against `queries[index[i]]` or, without an index, `queries[i]`."""
        return self.score(Pairs.from_columns(queries, titles, index))

    def _score_one(self, query: str, title: str) -> Scores:
        """Score a single pair with scalar arithmetic, for latency. Must equal the batch path (test_scorer)."""
        row_q, error_q = self.queries.resolve_one(query)
        row_t, error_t = self.titles.resolve_one(title)
        result = Scores(np.full(1, np.nan, np.float32), np.zeros(1, np.uint8))
        result.tokenize_seconds = self.queries.tokenize_seconds + self.titles.tokenize_seconds
        started = perf_counter()
        self._fill_states()
        if error_q is None and error_t is None:
            feed = self.queries.feed("query", slice(row_q, row_q + 1), self._pair.inputs)
            feed |= self.titles.feed("title", slice(row_t, row_t + 1), self._pair.inputs)
            exponent = self._slope * float(self._pair.run(feed)[0]) + self._intercept
            result.scores[0] = 1.0 / (1.0 + math.exp(-min(max(exponent, -80.0), 80.0)))
            result.labels[0] = result.scores[0] >= self._threshold
            if math.isnan(exponent):
                result.errors[0] = _NO_NUMBER
        else:
            result.errors[0] = _reason(error_q, error_t)
        result.infer_seconds = perf_counter() - started
        return result

    def _fill_states(self) -> None:
        """Fill the states of the columns' fresh rows, and publish the rows."""
        for text_pass, columns in self._passes:
            text_pass.run([column.fresh for column in columns])
        self.queries.publish()
        self.titles.publish()

    def _score_chunk(self, pairs: Pairs, offset: int, result: Scores) -> None:
        """Write the logits of `pairs` to `result.scores[offset:]`, and its errors and timings beside them."""
        query_rows, query_errors = self.queries.resolve(pairs.queries)
        title_rows, title_errors = self.titles.resolve(pairs.titles)
        result.tokenize_seconds += self.queries.tokenize_seconds + self.titles.tokenize_seconds
        started = perf_counter()
        self._fill_states()
        rows_q = query_rows[pairs.query_index]
        rows_t = title_rows[pairs.title_index]
        failed = (rows_q == ABSENT) | (rows_t == ABSENT)
        for row in np.flatnonzero(failed).tolist():
            result.errors[offset + row] = _reason(
                query_errors.get(int(pairs.query_index[row])), title_errors.get(int(pairs.title_index[row]))
            )
        good = np.flatnonzero(~failed)
        result.scores[offset + good] = self._logits(rows_q[good], rows_t[good])
        result.infer_seconds += perf_counter() - started

    def _logits(self, rows_q: IndexArray, rows_t: IndexArray) -> NDArray[np.float32]:
        """Return the logits of cache rows, in their order; the pair graph runs over the shortest first."""
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


class LogitScorer(Scorer):
    """Gives calibrated logits, `logit(score)`, in place of scores; all labels are 0.

    It has the graphs, the tokenizer and the lock of a scorer, and small text caches of its own: the texts that it reads
    are parts of texts, read once, and would displace those that callers repeat.
    """

    def __init__(self, scorer: Scorer) -> None:
        vars(self).update(vars(scorer))
        # Joining words by spaces can add a byte for each.
        self.max_text_bytes = scorer.max_text_bytes + self.bundle.manifest.max_title_tokens
        self._add_columns(query_bytes=0, title_bytes=0, chunk_rows=_PART_ROWS)

    def score(self, pairs: Pairs) -> Scores:
        """Return the calibrated logit of every row; a row has an error where `Scorer.score` gives one."""
        with self._lock:
            result = self._score_chunks(pairs)
        result.scores = self._exponents(result).astype(np.float32)
        return result


def _reason(query: str | None, title: str | None) -> str:
    return "; ".join(f"{name} {error}" for name, error in (("query", query), ("title", title)) if error is not None)
