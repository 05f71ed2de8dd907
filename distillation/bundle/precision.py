"""Reduced-precision forms of a bundle's graphs, all of them weight-only.

Weights are stored as float16, or as int8 with a scale per column, and turned back into float32 when the session folds
its constants; the arithmetic is the float32 graph's. Nothing is scaled by what is in the batch, so a score stays a
property of its pair. The embedding table is the exception in one way: it stays small in memory, and the rows that a
text needs are converted as they are gathered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Form = Literal["float32", "half", "int8"]
_SMALLEST: Final = 256
_INT8_MOST: Final = 127.0


def apply_precision(path: Path, form: Form) -> None:
    """Rewrite the graph at `path` in a reduced form; `float32` leaves it as it is."""
    if form == "float32":
        return
    model = onnx.load(str(path))
    graph = model.graph
    before: list[Any] = []
    for tensor in list(graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.size < _SMALLEST or array.dtype not in (np.float32, np.float16):
            continue
        if array.dtype == np.float16:
            if form == "int8":
                _shrink_table(graph, tensor, array)
        elif form == "half":
            before.append(_from_half(graph, tensor, array))
        else:
            before += _from_int8(graph, tensor, array)
    for number, node in enumerate(before):
        graph.node.insert(number, node)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path), full_check=True)


def _from_half(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> Any:
    name = tensor.name
    _replace(graph, tensor, numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
    return helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)


def _from_int8(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> list[Any]:
    # Cast and Mul, not DequantizeLinear: the runtime folds those two into a constant, and runs that one every time.
    name = tensor.name
    whole, scale = _quantised(array)
    _replace(graph, tensor, numpy_helper.from_array(whole, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    return [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_whole", f"{name}_scale"], [name]),
    ]


def _shrink_table(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> None:
    """Store a gathered float16 table as int8; the scale is applied to the rows that were gathered and cast."""
    whole, scale = _quantised(array.astype(np.float32))
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] == tensor.name)
    cast = next(node for node in graph.node if node.op_type == "Cast" and node.input[0] == gather.output[0])
    name = cast.output[0]
    _replace(graph, tensor, numpy_helper.from_array(whole, f"{tensor.name}_int8"))
    gather.input[0] = f"{tensor.name}_int8"
    graph.initializer.append(numpy_helper.from_array(scale, f"{tensor.name}_scale"))
    cast.output[0] = f"{name}_whole"
    place = list(graph.node).index(cast)
    graph.node.insert(place + 1, helper.make_node("Mul", [f"{name}_whole", f"{tensor.name}_scale"], [name]))


def _quantised(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 of `array`'s shape and the scale of each column (last axis), float32 [columns]."""
    most = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
    scale = (np.maximum(most, 1e-8) / _INT8_MOST).astype(np.float32)
    return np.round(array / scale).astype(np.int8), scale


def _replace(graph: Any, old: Any, new: Any) -> None:
    graph.initializer.remove(old)
    graph.initializer.append(new)
