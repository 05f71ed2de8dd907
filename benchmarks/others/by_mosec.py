"""mosec: HTTP in Rust, the model in a worker process."""

from __future__ import annotations

import sys

import mosec  # type: ignore[import-not-found]

from benchmarks.others.model import JOIN_SECONDS, JOINED_REQUESTS, Answer, Columns, Model, port


class Worker(mosec.Worker):  # type: ignore[misc]
    """The model."""

    def __init__(self) -> None:
        self._model = Model()

    def forward(self, data: list[Columns]) -> list[Answer]:
        """Score joined requests."""
        return self._model.answer(data)


if __name__ == "__main__":
    sys.argv = ["mosec", "--address", "127.0.0.1", "--port", str(port()), "--log-level", "error"]
    server = mosec.Server()
    server.append_worker(Worker, num=1, max_batch_size=JOINED_REQUESTS, max_wait_time=round(JOIN_SECONDS * 1000))
    server.run()
