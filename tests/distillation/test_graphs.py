"""The exported graphs compute the trained network, whatever the padding and the company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.graphs import PAIR_GRAPH, QUERY_GRAPH, TITLE_GRAPH, write_graphs
from distillation.model import BertBiLSTM, PairBatch, Shape, matches, round_to_half
from distillation.vocabulary import CLS, SEP

PIECES = st.lists(st.integers(4, 59), min_size=1, max_size=9)
PAIRS = st.lists(st.tuples(PIECES, PIECES), min_size=1, max_size=6)


def padded(sequences: list[list[int]], extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(sequences), max(map(len, sequences)) + extra), dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return ids, np.array([len(sequence) for sequence in sequences], dtype=np.int32)


class Served:
    """A network and its graphs side by side."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(3)
        self.model = BertBiLSTM(Shape(vocabulary=60, embedding=12, hidden=8, vector=6, head=5)).eval()
        round_to_half(self.model)
        write_graphs(self.model, folder)
        self.query, self.title, self.pair = (
            ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
            for name in (QUERY_GRAPH, TITLE_GRAPH, PAIR_GRAPH)
        )

    def torch_logits(self, pairs: list[tuple[list[int], list[int]]]) -> np.ndarray:
        query, query_length = padded([[CLS, *q, SEP] for q, _ in pairs])
        title, title_length = padded([[*t, SEP] for _, t in pairs])
        batch = PairBatch(*(torch.from_numpy(x).long() for x in (query, query_length, title, title_length)))
        with torch.inference_mode():
            return self.model(batch).logit.numpy()

    def onnx_logits(self, pairs: list[tuple[list[int], list[int]]], extra: int = 0) -> np.ndarray:
        query, query_length = padded([[CLS, *q, SEP] for q, _ in pairs], extra)
        title, title_length = padded([[*t, SEP] for _, t in pairs], 2 * extra)
        query_state = self.query.run(["state"], {"ids": query, "length": query_length})[0]
        title_state = self.title.run(["state"], {"ids": title, "length": title_length})[0]
        feed = {
            "query_ids": query,
            "query_length": query_length,
            "query_state": query_state,
            "title_ids": title,
            "title_length": title_length,
            "title_state": title_state,
        }
        return self.pair.run(["logit"], feed)[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("graphs"))


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS)
def test_graphs_equal_the_network(served: Served, pairs: list[tuple[list[int], list[int]]]) -> None:
    np.testing.assert_allclose(served.onnx_logits(pairs), served.torch_logits(pairs), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS, extra=st.integers(0, 7))
def test_a_logit_belongs_to_its_pair(served: Served, pairs: list[tuple[list[int], list[int]]], extra: int) -> None:
    together = served.onnx_logits(pairs, extra)
    alone = np.concatenate([served.onnx_logits([pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS)
def test_the_network_itself_ignores_padding(served: Served, pairs: list[tuple[list[int], list[int]]]) -> None:
    alone = np.concatenate([served.torch_logits([pair]) for pair in pairs])
    np.testing.assert_allclose(served.torch_logits(pairs), alone, atol=1e-5)


def test_the_title_is_read_with_the_query_in_mind(served: Served) -> None:
    """A match moves the score, so the pair graph does look at both texts' pieces."""
    hit, miss = served.onnx_logits([([7, 8], [9, 7, 8]), ([7, 8], [9, 17, 18])])
    assert abs(hit - miss) > 1e-3


def test_special_tokens_never_match() -> None:
    query = torch.tensor([[CLS, 1, 9, SEP, 0]])
    title = torch.tensor([[9, 1, SEP, 0]])
    query_hit, title_hit = matches(query, title)
    assert query_hit.tolist() == [[False, False, True, False, False]]
    assert title_hit.tolist() == [[True, False, False, False]]
