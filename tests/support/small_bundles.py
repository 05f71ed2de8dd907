"""Small bundles of other kinds than the student: no text graphs at all, or a pair graph that reads states only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from relevance_model import Bundle, BundleManifest, Calibration, Graphs, write_bundle

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "shoes", "boots", "hat"]
STATE = 2


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def value(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto
) -> None:
    weights = numpy_helper.from_array(np.array([1], np.int64), "axis")
    graph = helper.make_graph(nodes, path.stem, inputs, [output], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def cross_encoder(folder: Path) -> Bundle:
    """Write a bundle whose logit is the sum of the query's ids less the sum of the title's."""
    folder.mkdir()
    write_tokenizer(folder)
    nodes = []
    for name in ("query", "title"):
        nodes.append(helper.make_node("Cast", [f"{name}_ids"], [f"{name}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("ReduceSum", [f"{name}_float", "axis"], [f"{name}_sum"], keepdims=0))
    nodes.append(helper.make_node("Sub", ["query_sum", "title_sum"], ["logit"]))
    ids = [value("query_ids", TensorProto.INT32, ["N", "Lq"]), value("title_ids", TensorProto.INT32, ["N", "Lt"])]
    save(folder / "pair.onnx", nodes, ids, value("logit", TensorProto.FLOAT, ["N"]))
    return _seal(folder, Graphs(pair="pair.onnx"))


def poisonable(folder: Path) -> Bundle:
    """Write a bundle whose pair graph fails on each title with the last of `WORDS`: its table of words is too short."""
    folder.mkdir()
    write_tokenizer(folder)
    table = np.linspace(-1, 1, len(WORDS) - 1, dtype=np.float32)
    nodes = [helper.make_node("Constant", [], ["table"], value=numpy_helper.from_array(table))]
    for name in ("query", "title"):
        nodes.append(helper.make_node("Gather", ["table", f"{name}_ids"], [f"{name}_values"]))
        nodes.append(helper.make_node("ReduceSum", [f"{name}_values", "axis"], [f"{name}_sum"], keepdims=0))
    nodes.append(helper.make_node("Sub", ["query_sum", "title_sum"], ["logit"]))
    ids = [value("query_ids", TensorProto.INT32, ["N", "Lq"]), value("title_ids", TensorProto.INT32, ["N", "Lt"])]
    save(folder / "pair.onnx", nodes, ids, value("logit", TensorProto.FLOAT, ["N"]))
    return _seal(folder, Graphs(pair="pair.onnx"))


def twin_encoder(folder: Path, *, ragged: bool = False) -> Bundle:
    """Write a bundle whose states are (sum of ids, length) and whose logit is the states' dot product over 100.

    A ragged one is broken: its states are the ids themselves, as wide as the longest text.
    """
    folder.mkdir()
    write_tokenizer(folder)
    for name in ("query", "title"):
        nodes = [
            helper.make_node("Cast", ["ids"], ["ids_float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["ids_float", "axis"], ["sum"], keepdims=1),
            helper.make_node("Cast", ["length"], ["length_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["length_float", "axis"], ["length_column"]),
            helper.make_node("Concat", ["sum", "length_column"], ["state"], axis=1),
        ]
        if ragged:
            nodes = [helper.make_node("Cast", ["ids"], ["state"], to=TensorProto.FLOAT)]
        inputs = [value("ids", TensorProto.INT32, ["N", "L"]), value("length", TensorProto.INT32, ["N"])]
        save(folder / f"{name}.onnx", nodes, inputs, value("state", TensorProto.FLOAT, ["N", "S" if ragged else STATE]))
    nodes = [
        helper.make_node("Mul", ["query_state", "title_state"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axis"], ["dot"], keepdims=0),
        helper.make_node("Constant", [], ["hundred"], value_float=100.0),
        helper.make_node("Div", ["dot", "hundred"], ["logit"]),
    ]
    states = [value(f"{name}_state", TensorProto.FLOAT, ["N", STATE]) for name in ("query", "title")]
    save(folder / "pair.onnx", nodes, states, value("logit", TensorProto.FLOAT, ["N"]))
    return _seal(folder, Graphs(query="query.onnx", title="title.onnx", pair="pair.onnx"))


def _seal(folder: Path, graphs: Graphs) -> Bundle:
    (folder / "MODEL_CARD.md").write_text("# a small model for tests\n")
    manifest = BundleManifest(
        name="small",
        version="1",
        labels=("no", "yes"),
        threshold=0.5,
        calibration=Calibration(),
        max_query_tokens=4,
        max_title_tokens=5,
        graphs=graphs,
    )
    return write_bundle(folder, manifest)


def nan_pair_graph(folder: Path) -> None:
    """Replace a bundle's pair graph by one whose logits are no numbers."""
    manifest = Bundle.load(folder).manifest
    nodes = [
        helper.make_node("Cast", ["query_length"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["length", "length"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["logit"]),
    ]
    lengths = [value("query_length", TensorProto.INT32, ["N"])]
    save(folder / "pair.onnx", nodes, lengths, value("logit", TensorProto.FLOAT, ["N"]))
    write_bundle(folder, manifest)
