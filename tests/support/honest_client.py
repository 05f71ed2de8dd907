"""A caller through our own client, with its retries: no call of its may fail, and every score must be right."""

from __future__ import annotations

import threading

from grpc_client import ClientConfig, ClientError, RelevanceClient

ROWS = 16
TOLERANCE = 1e-5


class HonestClient:
    """Calls one after the other on a thread until it is left.

    Attributes
    ----------
    calls
        How many were answered.
    failures
        What each call that failed, or was answered otherwise than the first time, said.
    """

    def __init__(self, address: str) -> None:
        self._client = RelevanceClient(ClientConfig(address, in_flight=1, priority="interactive"))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.calls = 0
        self.failures: list[str] = []

    def __enter__(self) -> HonestClient:
        """Ask on the quiet server what is right."""
        self._titles = [[f"Running shoe {number}, size {size}" for size in range(ROWS)] for number in range(50)]
        self._expected = [self._scores(titles) for titles in self._titles]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._client.close()

    def _scores(self, titles: list[str]) -> list[float]:
        return [float(score) for score in self._client.score_batch(["running shoes"] * ROWS, titles).scores]

    def _run(self) -> None:
        while not self._done.wait(0.002):
            number = self.calls % len(self._titles)
            try:
                scores = self._scores(self._titles[number])
            except ClientError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                pairs = zip(scores, self._expected[number], strict=True)
                if not all(abs(one - other) <= TOLERANCE for one, other in pairs):
                    self.failures.append(f"other scores than on a quiet server: {scores}")
            self.calls += 1
