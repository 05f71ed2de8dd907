"""The two ONNX graphs of a `distillation.student.bilstm.BertBiLSTM`: one per text, one per pair.

A text's state holds, in this order: the twin vector [D], the weight [1], and for each token its share [1] and its
vector [T]; past the text's end it is zero. It has space for the longest text; a query's state is the same, truncated
after the longest query. Inside the text graph time is the first axis, as the ONNX LSTM expects: transposing token ids
is cheaper than transposing embeddings. The pair graph reads only as many tokens of a state as the batch's longest text
has. A single pair costs about a microsecond per node, so the graphs have as few nodes as possible.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto
from torch import Tensor, nn

from distillation.bundle.onnx_builder import GraphBuilder
from distillation.student.bilstm import KERNEL_CENTRES, KERNEL_SHARPNESS, TINY, BertBiLSTM
from distillation.student.vocabulary import SPECIAL_TOKENS

TEXT_GRAPH: Final = "text.onnx"
PAIR_GRAPH: Final = "pair.onnx"

Array = npt.NDArray[Any]


def write_graphs(model: BertBiLSTM, folder: Path, *, max_query_tokens: int, max_title_tokens: int) -> None:
    """Write `text.onnx` and `pair.onnx` into `folder`."""
    _text_graph(model, max(max_query_tokens, max_title_tokens)).save(folder / TEXT_GRAPH)
    _pair_graph(model, max_query_tokens, max_title_tokens).save(folder / PAIR_GRAPH)


def _state_size(model: BertBiLSTM, max_tokens: int) -> int:
    return model.shape.vector + 1 + max_tokens * (1 + model.shape.token)


def _text_graph(model: BertBiLSTM, max_tokens: int) -> GraphBuilder:
    """Build ids [N, L], length [N] -> state [N, D + 1 + M * (1 + T)]."""
    shape = model.shape
    graph = GraphBuilder("text")
    ids = graph.input("ids", TensorProto.INT32, ["N", "L"])
    length = graph.input("length", TensorProto.INT32, ["N"])
    time, width = graph.integers(0), graph.integers(1)
    tiny, one = _scalar(graph, "tiny", TINY), _scalar(graph, "one", 1.0)
    by_time = graph.node("Transpose", ids, perm=[1, 0])
    table = graph.weight("embedding", model.embedding.weight.detach().numpy().astype(np.float16))
    words = graph.node("Cast", graph.node("Gather", table, by_time, axis=0), to=TensorProto.FLOAT)
    steps = _lstm(graph, model, words, length)
    # Concatenate both directions: [L, 2, N, H] to [L, N, 2H].
    joined = graph.node(
        "Reshape", graph.node("Transpose", steps, perm=[0, 2, 1, 3]), graph.integers(0, 0, 2 * shape.hidden)
    )
    full = graph.node("Concat", joined, words, axis=2)

    kernel = np.concatenate([model.importance.weight.detach().numpy(), model.token_projection.weight.detach().numpy()])
    raw, token = graph.nodes(
        "Split",
        graph.node("MatMul", full, graph.weight("token_kernel", kernel.T)),
        graph.integers(1, shape.token),
        outputs=2,
        axis=2,
    )
    tokens = _unit(graph, token, axis=2)
    gate = graph.node("Add", raw, graph.weight("importance_bias", model.importance.bias.detach().numpy()))
    first = graph.weight("first_piece", np.array(len(SPECIAL_TOKENS), dtype=np.int32))
    plain = graph.node("Cast", graph.node("GreaterOrEqual", by_time, first), to=TensorProto.FLOAT)
    importance = graph.node("Mul", graph.node("Softplus", gate), graph.node("Unsqueeze", plain, graph.integers(2)))
    total = graph.node("ReduceSum", importance, time, keepdims=0)
    weight = graph.node("Log", graph.node("Add", total, one))
    share = graph.node("Div", importance, graph.node("Max", total, tiny))

    count = graph.node("Unsqueeze", graph.node("Cast", length, to=TensorProto.FLOAT), width)
    mean = graph.node("Div", graph.node("ReduceSum", full, time, keepdims=0), count)
    top = graph.node("Relu", graph.node("ReduceMax", joined, time, keepdims=0))
    pooled = graph.node("Concat", mean, top, axis=1)
    unit = _unit(graph, _linear(graph, model.text_projection, pooled, "text_projection"), axis=1)
    vector = graph.node("Mul", unit, _scalar(graph, "radius", shape.vector**0.5))

    rows = graph.node("Concat", share, tokens, axis=2)
    missing = graph.node("Sub", graph.integers(max_tokens), graph.node("Shape", by_time, start=0, end=1))
    # `pads` lists the padding before each axis, then the padding after each axis; time is the first axis.
    padding = graph.node("Concat", graph.integers(0, 0, 0), missing, graph.integers(0, 0), axis=0)
    flat = graph.node("Flatten", graph.node("Transpose", graph.node("Pad", rows, padding), perm=[1, 0, 2]), axis=1)
    state = graph.node("Concat", vector, weight, flat, axis=1)
    graph.output("state", state, ["N", _state_size(model, max_tokens)])
    return graph


def _pair_graph(model: BertBiLSTM, max_query_tokens: int, max_title_tokens: int) -> GraphBuilder:
    """Build ids and states of both texts -> logit [N]."""
    graph = GraphBuilder("pair")
    query_ids, query_vector, query_share, query_tokens = _side(graph, model, "query", max_query_tokens)
    title_ids, title_vector, title_share, title_tokens = _side(graph, model, "title", max_title_tokens)
    along_query, along_title = graph.integers(1), graph.integers(2)
    cosine = graph.node("MatMul", query_tokens, graph.node("Transpose", title_tokens, perm=[0, 2, 1]))
    down, across = graph.node("Unsqueeze", query_ids, along_title), graph.node("Unsqueeze", title_ids, along_query)
    same = graph.node("Equal", down, across)
    hits = graph.node("Cast", same, to=TensorProto.FLOAT)

    centres = np.array(KERNEL_CENTRES, dtype=np.float32)
    sharpness = _scalar(graph, "sharpness", -KERNEL_SHARPNESS)

    def columns(over: str, axis: int, centres: str) -> tuple[str, str]:
        """Reduce axis `over` to features of each token's best match: kernel bins, its cosine, and an exact match.

        Returns all of them, and the last two alone.
        """
        best = graph.node("Relu", graph.node("ReduceMax", cosine, over, keepdims=1))
        distance = graph.node("Sub", best, centres)
        bins = graph.node("Exp", graph.node("Mul", graph.node("Mul", distance, distance), sharpness))
        found = graph.node("Concat", best, graph.node("ReduceMax", hits, over, keepdims=1), axis=axis)
        return graph.node("Concat", bins, found, axis=axis), found

    query_columns, query_found = columns(along_title, 2, graph.weight("centres_across", centres[None, :]))
    title_columns, _ = columns(along_query, 1, graph.weight("centres_down", centres[:, None]))
    query_match = graph.node("MatMul", graph.node("Transpose", query_columns, perm=[0, 2, 1]), query_share)
    title_match = graph.node("MatMul", title_columns, title_share)
    match = graph.node("Squeeze", graph.node("Concat", query_match, title_match, axis=1), graph.integers(2))
    one, counted = _scalar(graph, "one", 1.0), graph.node("Sign", query_share)
    missing = graph.node("Mul", graph.node("Sub", one, query_found), counted)
    pieces = graph.node("Max", graph.node("ReduceSum", counted, along_query, keepdims=0), one)
    features = graph.node(
        "Concat",
        match,
        graph.node("Div", graph.node("ReduceSum", missing, along_query, keepdims=0), pieces),
        graph.node("ReduceMax", missing, along_query, keepdims=0),
        graph.node("Mul", query_vector, title_vector),
        graph.node("Abs", graph.node("Sub", query_vector, title_vector)),
        axis=1,
    )
    hidden = graph.node("Relu", _linear(graph, model.head_in, features, "head_in"))
    logit = graph.node("Squeeze", _linear(graph, model.head_out, hidden, "head_out"), graph.integers(1))
    graph.output("logit", logit, ["N"])
    return graph


def _side(graph: GraphBuilder, model: BertBiLSTM, name: str, max_tokens: int) -> tuple[str, str, str, str]:
    """Declare a text's inputs; return ids [N, L], vector and weight [N, D + 1], shares [N, L, 1], tokens [N, L, T]."""
    shape = model.shape
    ids = graph.input(f"{name}_ids", TensorProto.INT32, ["N", f"L_{name}"])
    state = graph.input(f"{name}_state", TensorProto.FLOAT, ["N", _state_size(model, max_tokens)])
    head, row, axis = graph.integers(shape.vector + 1), graph.integers(1 + shape.token), graph.integers(1)
    used = graph.node("Add", graph.node("Mul", graph.node("Shape", ids, start=1, end=2), row), head)
    vector = graph.node("Slice", state, graph.integers(0), head, axis)
    rows = graph.node("Reshape", graph.node("Slice", state, head, used, axis), graph.integers(0, -1, 1 + shape.token))
    share, tokens = graph.nodes("Split", rows, graph.integers(1, shape.token), outputs=2, axis=2)
    return ids, vector, share, tokens


def _lstm(graph: GraphBuilder, model: BertBiLSTM, words: str, length: str) -> str:
    """Add both directions over words [L, N, E]; return steps [L, 2, N, H], zero past each text's end."""
    kernels, recurrents, biases = [], [], []
    for lstm in (model.forward_lstm, model.backward_lstm):
        weights = dict(lstm.named_parameters())
        kernels.append(_gates(weights["weight_ih_l0"]))
        recurrents.append(_gates(weights["weight_hh_l0"]))
        biases.append(np.concatenate([_gates(weights["bias_ih_l0"]), _gates(weights["bias_hh_l0"])]))
    return graph.node(
        "LSTM",
        words,
        graph.weight("lstm_kernel", np.stack(kernels)),
        graph.weight("lstm_recurrent", np.stack(recurrents)),
        graph.weight("lstm_bias", np.stack(biases)),
        length,
        hidden_size=model.shape.hidden,
        direction="bidirectional",
    )


def _scalar(graph: GraphBuilder, name: str, value: float) -> str:
    return graph.weight(name, np.array(value, dtype=np.float32))


def _unit(graph: GraphBuilder, value: str, *, axis: int) -> str:
    norm = graph.node("ReduceL2", value, graph.integers(axis), keepdims=1)
    return graph.node("Div", value, graph.node("Max", norm, _scalar(graph, "tiny", TINY)))


def _linear(graph: GraphBuilder, layer: nn.Linear, value: str, name: str) -> str:
    weight = graph.weight(f"{name}_weight", layer.weight.detach().numpy())
    return graph.node("Gemm", value, weight, graph.weight(f"{name}_bias", layer.bias.detach().numpy()), transB=1)


def _gates(weight: Tensor) -> Array:
    """Reorder gates from torch's input, forget, cell, output to ONNX's input, output, forget, cell."""
    i, f, g, o = weight.detach().numpy().reshape(4, -1, *weight.shape[1:])
    return np.concatenate([i, o, f, g])
