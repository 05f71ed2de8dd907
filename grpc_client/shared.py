"""One client per process and configuration, shared by its users."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from grpc_client.client import RelevanceClient
from grpc_client.config import ClientConfig


class _Process:
    """The clients of one process, and the number of users of each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clients: dict[ClientConfig, RelevanceClient] = {}
        self.users: dict[ClientConfig, int] = {}

    def take(self, config: ClientConfig) -> RelevanceClient:
        with self.lock:
            idle = [each for each in self.clients if each != config and not self.users[each]]
            closed = [self.clients.pop(each) for each in idle]
            client = self.clients.setdefault(config, RelevanceClient(config))
            self.users[config] = self.users.get(config, 0) + 1
        for each in closed:
            each.close()
        return client

    def give_back(self, config: ClientConfig) -> None:
        with self.lock:
            self.users[config] -= 1


# By process id, each with its own lock. Clients inherited by a fork are never touched: closing one would use the
# parent's gRPC state.
_processes: dict[int, _Process] = {}


@contextmanager
def shared_client(config: ClientConfig) -> Iterator[RelevanceClient]:
    """Yield this process's client for `config`, made at the first use. Do not close it.

    It is kept until a client for another configuration is requested while this one is not in use.

    Examples
    --------
    >>> with shared_client(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
    ...     client.score("kettle", ["Kettle 2 l"])
    """
    process = _processes.setdefault(os.getpid(), _Process())
    client = process.take(config)
    try:
        yield client
    finally:
        process.give_back(config)
