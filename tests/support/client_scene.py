"""Scripted servers with clients for them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from grpc_client import (
    ClientConfig,
    RelevanceClient,
    RetryPolicy,
)
from tests.support.scripted_server import ScriptedServer

QUICK = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.01, max_backoff_seconds=0.05)
PAIRS = [("usb cable", "usb c cable 2 m"), ("usb cable", "hdmi cable"), ("kettle", "usb c cable 2 m")]


class Scene:
    """Starts scripted servers and clients for them, and ends them with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(
        self, script: list[dict[str, Any]] | None = None, *, server: dict[str, Any] | None = None, **config: Any
    ) -> tuple[ScriptedServer, RelevanceClient]:
        process = self._stack.enter_context(ScriptedServer(script, **(server or {})))
        settings = {"target": process.address, "retry": QUICK, **config}
        return process, self._stack.enter_context(RelevanceClient(ClientConfig(**settings)))


def score_pairs(client: RelevanceClient, pairs: list[tuple[str, str]] = PAIRS) -> list[float]:
    return list(client.score_batch([query for query, _ in pairs], [title for _, title in pairs]).scores)
