"""A well-behaved caller without retries, so that every failure of a call shows."""

from __future__ import annotations

import threading
import time

import grpc

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

ROWS = 16


class GoodCaller:
    """Calls one after the other on a thread until it is left, on a new connection every `calls_per_connection`.

    Attributes
    ----------
    seconds
        What each answered call took.
    failures
        Status and details of each call that was not answered well.
    """

    def __init__(self, address: str, *, calls_per_connection: int = 50, pause_seconds: float = 0.002) -> None:
        self._address = address
        self._calls_per_connection = calls_per_connection
        self._pause_seconds = pause_seconds
        self._done = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> GoodCaller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def wait_for(self, calls: int) -> None:
        """Wait until that many calls were answered."""
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.seconds) >= calls), self.failures

    def _run(self) -> None:
        while not self._done.is_set():
            # A pool of its own, or gRPC would lend it the connection of the caller before.
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(self._address, options=options) as channel:
                self._call_on(relevance_pb2_grpc.RelevanceServiceStub(channel))

    def _call_on(self, stub: relevance_pb2_grpc.RelevanceServiceStub) -> None:
        for number in range(self._calls_per_connection):
            titles = [f"Running shoe {number}, size {size}" for size in range(ROWS)]
            request = pb.ScoreBatchRequest(
                queries=["shoes"], titles=titles, query_index=[0] * ROWS, title_index=range(ROWS)
            )
            began = time.monotonic()
            try:
                response = stub.ScoreBatch(request)
            except grpc.RpcError as error:
                self.failures.append(f"{error.code()}: {error.details()}")
            else:
                if len(response.scores) != ROWS or response.errors:
                    self.failures.append("an answer that does not fit the request")
                with self._progress:
                    self.seconds.append(time.monotonic() - began)
                    self._progress.notify_all()
            if self._done.wait(self._pause_seconds):
                return
