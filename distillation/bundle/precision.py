"""Weight-only quantisation of a bundle's graphs.

Weights are stored as float16, or as int8 with a scale per column, and turned back into float32 when the session folds
its constants; the arithmetic is the float32 graph's. No scale is computed from a batch, so a score depends on its pair
alone. The embedding table is not folded: it stays small in memory, and the rows that a text needs are converted when
they are gathered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Precision = Literal["float32", "float16", "int8"]
_SMALLEST: Final = 256
_INT8_MOST: Final = 127.0


def apply_precision(path: Path, precision: Precision) -> None:
    """Rewrite the graph at `path` in a reduced precision; `float32` leaves it as it is."""
    if precision == "float32":
        return
    model = onnx.load(str(path))
    graph = model.graph
    before: list[Any] = []
    for tensor in list(graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.size < _SMALLEST or array.dtype not in (np.float32, np.float16):
            continue
        if array.dtype == np.float16:
            if precision == "int8":
                _shrink_table(graph, tensor, array)
        elif precision == "float16":
            before.append(_from_float16(graph, tensor, array))
        else:
            before += _from_int8(graph, tensor, array)
    for number, node in enumerate(before):
        graph.node.insert(number, node)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path), full_check=True)


def _from_float16(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> Any:
    name = tensor.name
    _replace(graph, tensor, numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
    return helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)


def _from_int8(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> list[Any]:
    # Cast and Mul, not DequantizeLinear: the runtime folds the former into a constant, and runs the latter every time.
    name = tensor.name
    whole, scale = _quantised(array)
    _replace(graph, tensor, numpy_helper.from_array(whole, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    return [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_whole", f"{name}_scale"], [name]),
    ]


def _shrink_table(graph: Any, tensor: Any, array: npt.NDArray[Any]) -> None:
    """Store a gathered float16 table as int8; the scale is applied to the gathered rows after the cast."""
    whole, scale = _quantised(array.astype(np.float32))
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] == tensor.name)
    cast = next(node for node in graph.node if node.op_type == "Cast" and node.input[0] == gather.output[0])
    name = cast.output[0]
    _replace(graph, tensor, numpy_helper.from_array(whole, f"{tensor.name}_int8"))
    gather.input[0] = f"{tensor.name}_int8"
    graph.initializer.append(numpy_helper.from_array(scale, f"{tensor.name}_scale"))
    cast.output[0] = f"{name}_whole"
    position = list(graph.node).index(cast)
    graph.node.insert(position + 1, helper.make_node("Mul", [f"{name}_whole", f"{tensor.name}_scale"], [name]))


def _quantised(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 of `array`'s shape and the scale of each column (last axis), float32 [columns]."""
    most = np.abs(array).max(axis=tuple(range(array.ndim - 1)))
    scale = (np.maximum(most, 1e-8) / _INT8_MOST).astype(np.float32)
    return np.round(array / scale).astype(np.int8), scale


def _replace(graph: Any, old: Any, new: Any) -> None:
    graph.initializer.remove(old)
    graph.initializer.append(new)
