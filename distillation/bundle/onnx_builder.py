"""A small builder of ONNX graphs.

Nodes are written by hand, not traced from torch: a traced LSTM does not use `sequence_lens`
(https://onnx.ai/onnx/operators/onnx__LSTM.html), which keeps a score independent of padding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

OPSET: Final = 18
IR_VERSION: Final = 9

Array = npt.NDArray[Any]


class GraphBuilder:
    """One graph under construction; every method that makes a node returns the name of its (first) output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: int, shape: list[str | int]) -> str:
        """Declare a graph input; a string in `shape` is a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: list[str | int]) -> None:
        """Declare `value` as the float32 graph output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, array: Array) -> str:
        """Add a named initializer."""
        if name not in self._initializers:
            self._initializers[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, *values: int) -> str:
        """Add a one-dimensional int64 constant, as axes and sizes are given."""
        return self.weight("int_" + "_".join(str(v) for v in values), np.array(values, dtype=np.int64))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.nodes(op, *inputs, outputs=1, **attributes)[0]

    def nodes(self, op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs; an empty string among `inputs` stands for an absent one."""
        names = [f"{op}_{self._count}_{i}" for i in range(outputs)]
        self._count += 1
        self._nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def save(self, path: Path) -> None:
        """Check the graph and write it."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="qtr"
        )
        path.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
