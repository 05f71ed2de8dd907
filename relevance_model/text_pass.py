"""The text graphs of a bundle: they fill the states of cache rows that are new."""

from __future__ import annotations

import numpy as np

from relevance_model.errors import BundleError
from relevance_model.graph import Graph
from relevance_model.pairs import IndexArray
from relevance_model.text_cache import TextCache


class TextPass:
    """One text graph and the caches, one per column, that it serves.

    A cache may hold less of a state than the graph computes: a query's is the same as a title's, cut off where the
    longest query ends.

    Raises
    ------
    BundleError
        If a cache asks for a wider state than the graph gives.
    """

    def __init__(self, graph: Graph, caches: list[TextCache], *, micro_batch: int) -> None:
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
        """Fill the states of ``rows``, one list per cache."""
        count = sum(map(len, rows))
        if count > self._micro_batch:
            for cache, part in zip(self._caches, rows, strict=True):
                self._run_sorted(cache, np.array(part, np.int64))
        elif count:
            self._run_together([(cache, row) for cache, part in zip(self._caches, rows, strict=True) for row in part])

    def _run_sorted(self, cache: TextCache, rows: IndexArray) -> None:
        by_length = rows[np.argsort(cache.lengths[rows], kind="stable")]
        for start in range(0, len(by_length), self._micro_batch):
            batch = by_length[start : start + self._micro_batch]
            lengths = cache.lengths[batch]
            states = self._graph.run({"ids": cache.tokens[batch, : lengths[-1]], "length": lengths})
            cache.states[batch] = states[:, : cache.states.shape[1]]

    def _run_together(self, rows: list[tuple[TextCache, int]]) -> None:
        """Run few rows, of all caches, at once: both texts of a lone pair cost little more than the longer one."""
        lengths = [int(cache.lengths[row]) for cache, row in rows]
        ids = np.zeros((len(rows), max(lengths)), np.int32)
        for i, (cache, row) in enumerate(rows):
            ids[i, : lengths[i]] = cache.tokens[row, : lengths[i]]
        states = self._graph.run({"ids": ids, "length": np.array(lengths, np.int32)})
        for i, (cache, row) in enumerate(rows):
            cache.states[row] = states[i, : cache.states.shape[1]]
