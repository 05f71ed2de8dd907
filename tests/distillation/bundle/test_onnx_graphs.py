"""The exported graphs compute the trained network, independent of padding and of other rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distillation.bundle.onnx_graphs import PAIR_GRAPH, TEXT_GRAPH, write_graphs
from distillation.student.bilstm import BertBiLSTM, Shape, TrainingBatch, matches, round_to_float16
from distillation.student.vocabulary import CLS, SEP

PIECES = st.lists(st.integers(4, 59), min_size=1, max_size=9)
PAIRS = st.lists(st.tuples(PIECES, PIECES), min_size=1, max_size=6)


def padded(sequences: list[list[int]], extra: int = 0) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(sequences), max(map(len, sequences)) + extra), dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return ids, np.array([len(sequence) for sequence in sequences], dtype=np.int32)


MAX_QUERY, MAX_TITLE = 24, 30


class Served:
    """A network and its graphs side by side."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(3)
        self.shape = Shape(vocabulary=60, embedding=12, hidden=8, vector=6, head=5, token=7)
        self.model = BertBiLSTM(self.shape).eval()
        round_to_float16(self.model)
        write_graphs(self.model, folder, max_query_tokens=MAX_QUERY, max_title_tokens=MAX_TITLE)
        self.text, self.pair = (
            ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
            for name in (TEXT_GRAPH, PAIR_GRAPH)
        )

    def torch_logits(self, pairs: list[tuple[list[int], list[int]]]) -> np.ndarray:
        query, query_length = padded([[CLS, *q, SEP] for q, _ in pairs])
        title, title_length = padded([[*t, SEP] for _, t in pairs])
        batch = TrainingBatch(*(torch.from_numpy(x).long() for x in (query, query_length, title, title_length)))
        with torch.inference_mode():
            logits: np.ndarray = self.model(batch).logit.numpy()
        return logits

    def onnx_logits(self, pairs: list[tuple[list[int], list[int]]], extra: int = 0) -> np.ndarray:
        query, query_length = padded([[CLS, *q, SEP] for q, _ in pairs], extra)
        title, title_length = padded([[*t, SEP] for _, t in pairs], 2 * extra)
        query_state = self.text.run(["state"], {"ids": query, "length": query_length})[0]
        title_state = self.text.run(["state"], {"ids": title, "length": title_length})[0]
        feed = {
            "query_ids": query,
            # A query's state is a title's, cut off where the longest query ends.
            "query_state": query_state[:, : self.shape.vector + 1 + MAX_QUERY * (1 + self.shape.token)],
            "title_ids": title,
            "title_state": title_state,
        }
        logits: np.ndarray = self.pair.run(["logit"], feed)[0]
        return logits


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("graphs"))


@settings(max_examples=60)
@given(pairs=PAIRS)
def test_graphs_equal_the_network(served: Served, pairs: list[tuple[list[int], list[int]]]) -> None:
    np.testing.assert_allclose(served.onnx_logits(pairs), served.torch_logits(pairs), atol=1e-5)


@settings(max_examples=60)
@given(pairs=PAIRS, extra=st.integers(0, 7))
def test_a_logit_belongs_to_its_pair(served: Served, pairs: list[tuple[list[int], list[int]]], extra: int) -> None:
    together = served.onnx_logits(pairs, extra)
    alone = np.concatenate([served.onnx_logits([pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@settings(max_examples=40)
@given(pairs=PAIRS)
def test_the_network_itself_ignores_padding(served: Served, pairs: list[tuple[list[int], list[int]]]) -> None:
    alone = np.concatenate([served.torch_logits([pair]) for pair in pairs])
    np.testing.assert_allclose(served.torch_logits(pairs), alone, atol=1e-5)


def test_a_match_moves_the_score(served: Served) -> None:
    """The pair graph does look at both texts' pieces."""
    hit, miss = served.onnx_logits([([7, 8], [9, 7, 8]), ([7, 8], [9, 17, 18])])
    assert abs(hit - miss) > 1e-3


def test_special_tokens_and_padding_have_no_share(served: Served) -> None:
    ids, length = padded([[CLS, 7, 8, SEP], [9, SEP]], extra=2)
    state = served.model.read(torch.from_numpy(ids).long(), torch.from_numpy(length).long())
    assert (state.share > 0).tolist() == [[False, True, True, False, False, False], [True] + [False] * 5]
    assert state.share.sum(1).tolist() == pytest.approx([1, 1])
    assert not state.tokens[1, 2:].any()


def test_a_text_of_unknown_pieces_only_has_a_score(served: Served) -> None:
    assert np.isfinite(served.onnx_logits([([1, 1], [1]), ([1], [7, 8])])).all()


def test_pieces_are_found_in_the_other_text() -> None:
    query_hit, title_hit = matches(torch.tensor([[CLS, 7, 9, SEP, 0]]), torch.tensor([[9, 8, SEP, 0]]))
    assert query_hit[0, 1:3].tolist() == [False, True]
    assert title_hit[0, :2].tolist() == [True, False]
