"""The model behind the other servers: the same bundle, scored pair by pair as such servers do.

Each text of a batch is tokenised and passed through its graph, repeated or not, and nothing is cached. Otherwise the
best practice: one call of the tokeniser per batch, micro-batches of rows of similar length, one thread, and frameworks
with dynamic batching may join up to eight requests.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relevance_model import DEFAULT_MICRO_BATCH, Bundle
from relevance_model.bundle import TOKENIZER
from relevance_model.onnx_graph import Feed, OnnxGraph
from relevance_model.tokenizer import TextTokenizer
from relevance_model.wordpiece import WordPieces

JOINED_REQUESTS = 8
JOIN_SECONDS = 0.001

Columns = dict[str, list[str]]
Answer = dict[str, list[float]]
_TEXT_INPUTS = frozenset({"ids", "length"})
_PAIR_INPUTS = frozenset(f"{side}_{what}" for side in ("query", "title") for what in ("ids", "length", "state"))


def port() -> int:
    """Return the port to listen on, on loopback."""
    return int(os.environ["BENCHMARK_PORT"])


class Model:
    """Scores requests `{"queries": […], "titles": […]}` as one batch."""

    def __init__(self) -> None:
        bundle = Bundle.load(os.environ["BENCHMARK_BUNDLE"])
        manifest = bundle.manifest
        self._calibration = manifest.calibration
        vocabulary = WordPieces(bundle.path / TOKENIZER)
        self._pair = OnnxGraph(
            bundle.path / manifest.graphs.pair, allowed_inputs=_PAIR_INPUTS, output="logit", threads=1
        )
        graphs = {"query": manifest.graphs.query, "title": manifest.graphs.title}
        limits = {"query": manifest.max_query_tokens, "title": manifest.max_title_tokens}
        self._encoders = {
            side: TextTokenizer(vocabulary, max_tokens=limit, leading_cls=side == "query")
            for side, limit in limits.items()
        }
        self._graphs = {
            side: OnnxGraph(bundle.path / name, allowed_inputs=_TEXT_INPUTS, output="state", threads=1)
            for side, name in graphs.items()
            if name is not None
        }

    def answer(self, requests: list[Columns]) -> list[Answer]:
        """Return `{"scores": […]}` for each request."""
        queries = [text for request in requests for text in request["queries"]]
        titles = [text for request in requests for text in request["titles"]]
        scores = iter(self._score(queries, titles).tolist())
        return [{"scores": [next(scores) for _ in request["titles"]]} for request in requests]

    def _score(self, queries: Sequence[str], titles: Sequence[str]) -> NDArray[np.float64]:
        ids = {
            "query": [code.ids for code in self._encoders["query"].encode(queries)],
            "title": [code.ids for code in self._encoders["title"].encode(titles)],
        }
        lengths = {side: np.array([len(each) for each in rows], np.int32) for side, rows in ids.items()}
        order = np.lexsort((lengths["query"], lengths["title"]))
        logits = np.empty(len(order))
        for start in range(0, len(order), DEFAULT_MICRO_BATCH):
            rows = order[start : start + DEFAULT_MICRO_BATCH]
            feed: Feed = {}
            for side in ("query", "title"):
                feed |= self._feed(side, [ids[side][row] for row in rows], lengths[side][rows])
            logits[rows] = self._pair.run({name: feed[name] for name in self._pair.inputs})
        return 1.0 / (1.0 + np.exp(-(self._calibration.slope * logits + self._calibration.intercept)))

    def _feed(self, side: str, ids: list[list[int]], lengths: NDArray[np.int32]) -> Feed:
        padded = np.zeros((len(ids), lengths.max()), np.int32)
        for row, each in enumerate(ids):
            padded[row, : len(each)] = each
        feed: Feed = {f"{side}_ids": padded, f"{side}_length": lengths}
        if side in self._graphs:
            state = self._graphs[side].run({"ids": padded, "length": lengths})
            width = self._pair.input_width(f"{side}_state")
            feed[f"{side}_state"] = state[:, :width]
        return feed
