"""The text graphs of a bundle: they compute the states of new cache rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final

import numpy as np

from relevance_model.errors import BundleError
from relevance_model.onnx_graph import OnnxGraph
from relevance_model.pairs import IndexArray
from relevance_model.text_cache import TextCache

# Fixed cost of one run of the bundled student's text graph, in tokens.
_TOKENS_PER_RUN: Final = 32


class TextEncoder:
    """One text graph and the caches, one per column, that it serves.

    A cache may hold a prefix of a state: a query's state is that of a title, cut off at the longest query.

    Raises
    ------
    BundleError
        If a cache needs a wider state than the graph computes.
    """

    def __init__(self, graph: OnnxGraph, caches: list[TextCache], *, micro_batch: int) -> None:
        width = graph.output_width()
        for cache in caches:
            if cache.states.shape[1] > width:
                wanted = cache.states.shape[1]
                raise BundleError(
                    f"the pair graph reads {wanted} numbers of a text's state, its text graph gives {width}"
                )
        self._graph = graph
        self._caches = caches
        self._micro_batch = micro_batch

    def run(self, rows: list[list[int]]) -> None:
        """Fill the states of `rows`, one list per cache."""
        count = sum(map(len, rows))
        if count > self._micro_batch:
            for cache, part in zip(self._caches, rows, strict=True):
                self._run_many(cache, np.array(part, np.int64))
        elif count:
            self._run_few([(cache, row) for cache, part in zip(self._caches, rows, strict=True) for row in part])

    def _run_many(self, cache: TextCache, rows: IndexArray) -> None:
        by_length = rows[np.argsort(cache.lengths[rows], kind="stable")]
        for start, stop in cut_by_length(cache.lengths[by_length].tolist(), self._micro_batch):
            batch = by_length[start:stop]
            lengths = cache.lengths[batch]
            states = self._graph.run({"ids": cache.tokens[batch, : lengths[-1]], "length": lengths})
            cache.states[batch] = states[:, : cache.states.shape[1]]

    def _run_few(self, rows: list[tuple[TextCache, int]]) -> None:
        """Run the rows of all caches together: both texts of a single pair cost little more than the longer one."""
        sized = sorted(((int(cache.lengths[row]), cache, row) for cache, row in rows), key=itemgetter(0))
        lengths = [length for length, _, _ in sized]
        for start, stop in cut_by_length(lengths, self._micro_batch):
            ids = np.zeros((stop - start, lengths[stop - 1]), np.int32)
            for i, (length, cache, row) in enumerate(sized[start:stop]):
                ids[i, :length] = cache.tokens[row, :length]
            states = self._graph.run({"ids": ids, "length": np.array(lengths[start:stop], np.int32)})
            for i, (_, cache, row) in enumerate(sized[start:stop]):
                cache.states[row] = states[i, : cache.states.shape[1]]


def cut_by_length(lengths: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """Split texts, shortest first, into runs of up to `most`; yield the start and stop of each.

    A run pads each text to its longest. It ends once the padding costs more than another run.

    Examples
    --------
    >>> list(cut_by_length([3, 4, 40], most=8))
    [(0, 2), (2, 3)]
    """
    start, total = 0, 0
    for place, length in enumerate(lengths):
        waste = (place - start) * length - total
        if place - start == most or waste > _TOKENS_PER_RUN:
            yield start, place
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield start, len(lengths)
