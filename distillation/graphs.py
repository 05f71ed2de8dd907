"""The three ONNX graphs of a :class:`~distillation.model.BertBiLSTM`.

A per-text state is, in this order: the LSTM's final ``h`` and ``c`` [H each], the sum and the non-negative maximum of
its steps [H each], and the twin vector [D]. Time comes first inside the graphs, as the ONNX LSTM wants it: token ids
are transposed, which is cheaper than transposing embeddings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto
from torch import Tensor, nn

from distillation.model import MATCH_SHIFT, QUERY_SEGMENT, TITLE_SEGMENT, BertBiLSTM
from distillation.onnx_builder import GraphBuilder, SharedWeights
from distillation.vocabulary import SPECIAL_TOKENS

QUERY_GRAPH: Final = "query.onnx"
TITLE_GRAPH: Final = "title.onnx"
PAIR_GRAPH: Final = "pair.onnx"
WEIGHTS_FILE: Final = "weights.bin"

Array = npt.NDArray[Any]


def write_graphs(model: BertBiLSTM, folder: Path) -> None:
    """Write ``query.onnx``, ``title.onnx``, ``pair.onnx`` and their shared ``weights.bin`` into ``folder``."""
    weights = SharedWeights(WEIGHTS_FILE)
    graphs = {
        QUERY_GRAPH: _text_graph(model, weights, "query"),
        TITLE_GRAPH: _text_graph(model, weights, "title"),
        PAIR_GRAPH: _pair_graph(model, weights),
    }
    weights.write(folder)
    for name, graph in graphs.items():
        graph.save(folder / name)


def _text_graph(model: BertBiLSTM, weights: SharedWeights, side: str) -> GraphBuilder:
    """Build ids [N, L], length [N] -> state [N, 4H + D]."""
    shape = model.shape
    graph = GraphBuilder(side, weights)
    ids = graph.input("ids", TensorProto.INT32, ["N", "L"])
    length = graph.input("length", TensorProto.INT32, ["N"])
    words = _words(graph, model, ids)
    is_query = side == "query"
    lstm = model.forward_lstm if is_query else model.backward_lstm
    projection = model.query_projection if is_query else model.title_projection
    segment = QUERY_SEGMENT if is_query else TITLE_SEGMENT
    steps, last_h, last_c = _lstm(graph, lstm, words, length, side="forward" if is_query else "backward",
                                  segment=model.segment.weight[segment], segment_name=side)  # fmt: skip
    total, top = _pool(graph, steps)
    count = graph.node("Unsqueeze", graph.node("Cast", length, to=TensorProto.FLOAT), graph.integers(1))
    mean_word = graph.node("Div", graph.node("ReduceSum", words, graph.integers(0), keepdims=0), count)
    pooled = graph.node("Concat", graph.node("Div", total, count), top, mean_word, axis=1)
    raw = _linear(graph, projection, pooled, f"{side}_projection")
    norm = graph.node("ReduceL2", raw, graph.integers(1), keepdims=1)
    floor = graph.weight("tiny", np.array(1e-6, dtype=np.float32))
    unit = graph.node("Div", raw, graph.node("Max", norm, floor))
    vector = graph.node("Mul", unit, graph.weight("radius", np.array(shape.vector**0.5, dtype=np.float32)))
    state = graph.node("Concat", last_h, last_c, total, top, vector, axis=1)
    graph.output("state", state, ["N", 4 * shape.hidden + shape.vector])
    return graph


def _pair_graph(model: BertBiLSTM, weights: SharedWeights) -> GraphBuilder:
    """Build ids, lengths and states of both texts -> logit [N]."""
    shape = model.shape
    width = 4 * shape.hidden + shape.vector
    graph = GraphBuilder("pair", weights)
    query_ids = graph.input("query_ids", TensorProto.INT32, ["N", "Lq"])
    query_length = graph.input("query_length", TensorProto.INT32, ["N"])
    query_state = graph.input("query_state", TensorProto.FLOAT, ["N", width])
    title_ids = graph.input("title_ids", TensorProto.INT32, ["N", "Lt"])
    title_length = graph.input("title_length", TensorProto.INT32, ["N"])
    title_state = graph.input("title_state", TensorProto.FLOAT, ["N", width])

    query_hit, title_hit = _matches(graph, query_ids, title_ids)
    sizes = graph.integers(*[shape.hidden] * 4, shape.vector)
    query_h, query_c, query_sum, query_top, query_vector = graph.nodes("Split", query_state, sizes, outputs=5, axis=1)
    title_h, title_c, title_sum, title_top, title_vector = graph.nodes("Split", title_state, sizes, outputs=5, axis=1)

    ahead = _lstm_over_hits(
        graph, model, title_ids, title_length, hit=title_hit, start=(query_h, query_c), side="forward"
    )
    behind = _lstm_over_hits(
        graph, model, query_ids, query_length, hit=query_hit, start=(title_h, title_c), side="backward"
    )
    ahead_sum, ahead_top = _pool(graph, ahead)
    behind_sum, behind_top = _pool(graph, behind)

    query_count, title_count = (
        graph.node("Unsqueeze", graph.node("Cast", length, to=TensorProto.FLOAT), graph.integers(1))
        for length in (query_length, title_length)
    )
    count = graph.node("Add", query_count, title_count)
    product = graph.node("Mul", query_vector, title_vector)
    features = graph.node(
        "Concat",
        graph.node("Div", graph.node("Add", query_sum, ahead_sum), count),
        graph.node("Max", query_top, ahead_top),
        graph.node("Div", graph.node("Add", title_sum, behind_sum), count),
        graph.node("Max", title_top, behind_top),
        product,
        graph.node("Abs", graph.node("Sub", query_vector, title_vector)),
        graph.node("ReduceMean", product, graph.integers(1), keepdims=1),
        graph.node("Div", graph.node("ReduceSum", query_hit, graph.integers(1), keepdims=1), query_count),
        graph.node("Div", graph.node("ReduceSum", title_hit, graph.integers(1), keepdims=1), title_count),
        axis=1,
    )
    hidden = graph.node("Relu", _linear(graph, model.head_in, features, "head_in"))
    logit = graph.node("Squeeze", _linear(graph, model.head_out, hidden, "head_out"), graph.integers(1))
    graph.output("logit", logit, ["N"])
    return graph


def _words(graph: GraphBuilder, model: BertBiLSTM, ids: str) -> str:
    """Embed ids [N, L] to float32 [L, N, E]."""
    table = graph.weight("embedding", model.embedding.weight.detach().numpy().astype(np.float16))
    rows = graph.node("Gather", table, graph.node("Transpose", ids, perm=[1, 0]), axis=0)
    return graph.node("Cast", rows, to=TensorProto.FLOAT)


def _matches(graph: GraphBuilder, query_ids: str, title_ids: str) -> tuple[str, str]:
    """Return which pieces occur in the other text, as float32 0/1 [N, Lq] and [N, Lt]."""
    special = graph.node("Less", query_ids, graph.weight("first_piece", np.array(len(SPECIAL_TOKENS), dtype=np.int32)))
    nowhere = graph.weight("nowhere", np.array(-1, dtype=np.int32))
    plain = graph.node("Unsqueeze", graph.node("Where", special, nowhere, query_ids), graph.integers(2))
    same = graph.node("Equal", plain, graph.node("Unsqueeze", title_ids, graph.integers(1)))
    grid = graph.node("Cast", same, to=TensorProto.FLOAT)
    return (
        graph.node("ReduceMax", grid, graph.integers(2), keepdims=0),
        graph.node("ReduceMax", grid, graph.integers(1), keepdims=0),
    )


def _lstm_over_hits(
    graph: GraphBuilder,
    model: BertBiLSTM,
    ids: str,
    length: str,
    *,
    hit: str,
    start: tuple[str, str],
    side: str,
) -> str:
    """Run one direction over the text that it reads second; returns its steps [L, 1, N, H]."""
    segment = TITLE_SEGMENT if side == "forward" else QUERY_SEGMENT
    plain, matched = model.segment.weight[segment], model.segment.weight[segment + MATCH_SHIFT]
    column = graph.node("Unsqueeze", graph.node("Transpose", hit, perm=[1, 0]), graph.integers(2))
    delta = graph.weight(f"{side}_match", (matched - plain).detach().numpy())
    words = graph.node("Add", _words(graph, model, ids), graph.node("Mul", column, delta))
    lstm = model.forward_lstm if side == "forward" else model.backward_lstm
    name = "title" if side == "forward" else "query"
    return _lstm(graph, lstm, words, length, side=side, segment=plain, segment_name=name, start=start)[0]


def _lstm(
    graph: GraphBuilder,
    lstm: nn.LSTM,
    words: str,
    length: str,
    *,
    side: str,
    segment: Tensor,
    segment_name: str,
    start: tuple[str, str] | None = None,
) -> tuple[str, str, str]:
    """Add one direction; returns steps [L, 1, N, H] and the final h and c [N, H].

    A segment embedding is the same at every step, so its part of the gates goes into the bias.
    """
    weights = dict(lstm.named_parameters())
    kernel, recurrent = _gates(weights["weight_ih_l0"]), _gates(weights["weight_hh_l0"])
    bias = _gates(weights["bias_ih_l0"] + weights["weight_ih_l0"] @ segment)
    initial = [graph.node("Unsqueeze", value, graph.integers(0)) for value in start or ()]
    steps, last_h, last_c = graph.nodes(
        "LSTM",
        words,
        graph.weight(f"{side}_kernel", kernel[None]),
        graph.weight(f"{side}_recurrent", recurrent[None]),
        graph.weight(f"{side}_bias_{segment_name}", np.concatenate([bias, _gates(weights["bias_hh_l0"])])[None]),
        length,
        *initial,
        outputs=3,
        hidden_size=lstm.hidden_size,
        direction="forward" if side == "forward" else "reverse",
    )
    first = graph.integers(0)
    return steps, graph.node("Squeeze", last_h, first), graph.node("Squeeze", last_c, first)


def _pool(graph: GraphBuilder, steps: str) -> tuple[str, str]:
    """Return sum and non-negative maximum of steps [L, 1, N, H], which are zero past the true end."""
    axes = graph.integers(0, 1)
    top = graph.node("Relu", graph.node("ReduceMax", steps, axes, keepdims=0))
    return graph.node("ReduceSum", steps, axes, keepdims=0), top


def _linear(graph: GraphBuilder, layer: nn.Linear, value: str, name: str) -> str:
    weight = graph.weight(f"{name}_weight", layer.weight.detach().numpy())
    return graph.node("Gemm", value, weight, graph.weight(f"{name}_bias", layer.bias.detach().numpy()), transB=1)


def _gates(weight: Tensor) -> Array:
    """Reorder gates from torch's input, forget, cell, output to ONNX's input, output, forget, cell."""
    i, f, g, o = weight.detach().numpy().reshape(4, -1, *weight.shape[1:])
    return np.concatenate([i, o, f, g])
