"""A small builder of ONNX graphs whose weights lie, once each, in a file that several graphs share.

Nodes are written out by hand and not traced from torch: only so does the LSTM take ``sequence_lens`` and initial states
(https://onnx.ai/onnx/operators/onnx__LSTM.html), which is what keeps a score independent of padding.
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
_ALIGNMENT: Final = 64
_INLINE_BYTES: Final = 1024

Array = npt.NDArray[Any]


class SharedWeights:
    """Arrays gathered into one external data file; an array that two graphs use is stored once, by its name."""

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name
        self._offset: dict[str, int] = {}
        self._blob = bytearray()

    def tensor(self, name: str, array: Array) -> onnx.TensorProto:
        """Return an initializer; arrays above 1 KiB refer to the shared file, smaller ones are held inline."""
        array = np.ascontiguousarray(array)
        if array.nbytes <= _INLINE_BYTES:
            return onnx.numpy_helper.from_array(array, name)
        if name not in self._offset:
            self._blob.extend(b"\0" * (-len(self._blob) % _ALIGNMENT))
            self._offset[name] = len(self._blob)
            self._blob.extend(array.tobytes())
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", self.file_name),
            ("offset", str(self._offset[name])),
            ("length", str(array.nbytes)),
        ):
            tensor.external_data.add(key=key, value=value)
        return tensor

    def write(self, folder: Path) -> None:
        """Write the shared file into ``folder``."""
        (folder / self.file_name).write_bytes(self._blob)


class GraphBuilder:
    """One graph under construction; every method that makes a node returns the name of its (first) output."""

    def __init__(self, name: str, weights: SharedWeights) -> None:
        self._name = name
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: int, shape: list[str | int]) -> str:
        """Declare a graph input; a string in ``shape`` is a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: list[str | int]) -> None:
        """Declare ``value`` as the float32 graph output ``name``."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, array: Array) -> str:
        """Add a named initializer."""
        if name not in self._initializers:
            self._initializers[name] = self._weights.tensor(name, array)
        return name

    def integers(self, *values: int) -> str:
        """Add a one-dimensional int64 constant, as axes and sizes are given."""
        return self.weight("int_" + "_".join(str(v) for v in values), np.array(values, dtype=np.int64))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.nodes(op, *inputs, outputs=1, **attributes)[0]

    def nodes(self, op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs; an empty string among ``inputs`` stands for an absent one."""
        names = [f"{op}_{self._count}_{i}" for i in range(outputs)]
        self._count += 1
        self._nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def save(self, path: Path) -> None:
        """Check the graph and write it; the shared weights file must already lie beside ``path``."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="qtr"
        )
        path.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
