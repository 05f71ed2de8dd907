"""LitServe: FastAPI in one process, the model in another. FastAPI reads the annotations: they must be types."""

import litserve  # type: ignore[import-not-found]

from benchmarks.others.model import JOIN_SECONDS, JOINED_REQUESTS, Answer, Columns, Model, port


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The model."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load it."""
        self._model = Model()

    def decode_request(self, request: Columns) -> Columns:
        """Take it as it is."""
        return request

    def batch(self, inputs: list[Columns]) -> list[Columns]:
        """Take them as they are."""
        return inputs

    def predict(self, x: list[Columns]) -> list[Answer]:
        """Score joined requests."""
        return self._model.answer(x)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        """Return them as they are."""
        return output

    def encode_response(self, output: Answer) -> Answer:
        """Return it as it is."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=JOINED_REQUESTS, batch_timeout=JOIN_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port(), num_api_servers=1, log_level="error", generate_client_file=False)
