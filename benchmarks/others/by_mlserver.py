"""MLServer: the model in the server's own process, adaptive batching as it comes, which is off."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.cli import main  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.others.model import Model, port


class Runtime(MLModel):  # type: ignore[misc]
    """The model, asked by two BYTES inputs of the Open Inference Protocol."""

    async def load(self) -> bool:
        """Load it."""
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the rows of one request."""
        texts = {each.name: StringCodec.decode_input(each) for each in payload.inputs}
        [answer] = self._model.answer([{"queries": texts["queries"], "titles": texts["titles"]}])
        scores = NumpyCodec.encode_output("scores", np.array(answer["scores"], np.float32))
        return InferenceResponse(model_name=self.name, outputs=[scores])


if __name__ == "__main__":
    first = port()
    ports = {"http_port": first, "grpc_port": first + 1, "metrics_port": first + 2}
    folder = Path(tempfile.mkdtemp())
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    model = {"name": "student", "implementation": "benchmarks.others.by_mlserver.Runtime"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    sys.argv = ["mlserver", "start", str(folder)]
    main()
