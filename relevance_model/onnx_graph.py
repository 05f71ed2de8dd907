"""One ONNX graph of a bundle, run on the CPU by onnxruntime with a fixed number of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relevance_model.errors import BundleError

# Some builds send telemetry to their vendor unless this is set before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

Feed = dict[str, NDArray[np.int32] | NDArray[np.float32]]


class OnnxGraph:
    """An inference session with one float32 output.

    Parameters
    ----------
    path
        The `.onnx` file.
    allowed_inputs
        Input names the caller can feed.
    output
        Name of the output.
    threads
        Threads of one run. Spinning is off: an idle server must use no CPU, and a busy one shares its cores.
    """

    def __init__(self, path: Path, *, allowed_inputs: frozenset[str], output: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            # From memory: overwriting the file cannot change a loaded graph.
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has one exception class per failure, none of them public
            raise BundleError(f"{path}: not a loadable ONNX graph ({str(error).splitlines()[0]})") from None
        self._input_shapes = {node.name: node.shape for node in self._session.get_inputs()}
        self.inputs = frozenset(self._input_shapes)
        unknown = sorted(self.inputs - allowed_inputs)
        if unknown:
            raise BundleError(f"{path}: unknown input {unknown[0]}; known are {', '.join(sorted(allowed_inputs))}")
        shapes = {node.name: node.shape for node in self._session.get_outputs()}
        if output not in shapes:
            raise BundleError(f"{path}: has no output named {output}")
        self._outputs = [output]
        self.output_shape = shapes[output]
        self._path = path

    def input_width(self, name: str) -> int:
        """Return the static width of input `name`; 0 if the graph has no such input.

        Raises
        ------
        BundleError
            If the graph does not declare it.
        """
        return self._width(f"input {name}", self._input_shapes[name]) if name in self._input_shapes else 0

    def output_width(self) -> int:
        """Return the static width of the output.

        Raises
        ------
        BundleError
            If the graph does not declare it.
        """
        return self._width("output", self.output_shape)

    def _width(self, what: str, shape: Sequence[int | str | None]) -> int:
        width = shape[-1] if len(shape) == 2 else None
        if not isinstance(width, int):
            raise BundleError(f"{self._path}: the {what}'s width must be declared, found shape {list(shape)}")
        return width

    def run(self, feed: Feed) -> NDArray[np.float32]:
        """Run the graph; `feed` holds exactly its inputs."""
        result: NDArray[np.float32] = self._session.run(self._outputs, feed)[0]
        return result
