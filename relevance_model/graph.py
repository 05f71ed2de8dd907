"""One ONNX graph of a bundle, run on the CPU by onnxruntime with every thread accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from relevance_model.errors import BundleError

Feed = dict[str, NDArray[np.int32] | NDArray[np.float32]]


class Graph:
    """An inference session with one float32 output.

    Parameters
    ----------
    path
        The ``.onnx`` file.
    allowed_inputs
        Input names the caller can feed.
    output
        Name of the output.
    threads
        Threads of one run. Spinning is off: an idle server must cost nothing, and a busy one shares its cores.
    """

    def __init__(self, path: Path, *, allowed_inputs: frozenset[str], output: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has one exception class per failure, none of them public
            raise BundleError(f"{path}: not a loadable ONNX graph ({str(error).splitlines()[0]})") from None
        self.inputs = frozenset(node.name for node in self._session.get_inputs())
        unknown = sorted(self.inputs - allowed_inputs)
        if unknown:
            raise BundleError(f"{path}: unknown input {unknown[0]}; known are {', '.join(sorted(allowed_inputs))}")
        shapes = {node.name: node.shape for node in self._session.get_outputs()}
        if output not in shapes:
            raise BundleError(f"{path}: has no output named {output}")
        self._outputs = [output]
        self.output_shape = shapes[output]
        self._path = path

    def state_size(self) -> int:
        """Return the static width of a ``state`` output.

        Raises
        ------
        BundleError
            If the graph does not declare it.
        """
        width = self.output_shape[-1] if len(self.output_shape) == 2 else None
        if not isinstance(width, int):
            raise BundleError(f"{self._path}: the output's width must be declared, found shape {self.output_shape}")
        return width

    def run(self, feed: Feed) -> NDArray[np.float32]:
        """Run the graph; ``feed`` holds exactly its inputs."""
        result: NDArray[np.float32] = self._session.run(self._outputs, feed)[0]
        return result
