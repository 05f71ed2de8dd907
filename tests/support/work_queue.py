"""A work queue with a fake clock, and work for it."""

from __future__ import annotations

from grpc_server.core.queue import WorkQueue
from grpc_server.core.work import DropReason, Lane, Work
from relevance_model import Pairs


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class SteadyThroughput:
    def __init__(self, seconds_per_token: float) -> None:
        self._seconds_per_token = seconds_per_token

    def seconds_for(self, tokens: int) -> float:
        return tokens * self._seconds_per_token


class QueueScene:
    """A queue at a pace of one second a token, with a clock that stands still until it is moved."""

    def __init__(self, *, max_tokens: int = 100, batch_tokens: int = 100, seconds_per_token: float = 1.0) -> None:
        self.clock = Clock()
        self.dropped: list[tuple[Work, DropReason]] = []
        pace = SteadyThroughput(seconds_per_token)
        self.queue = WorkQueue(
            max_tokens=max_tokens,
            batch_tokens=batch_tokens,
            mixed_batch_tokens=2048,
            throughput=pace,
            on_drop=lambda work, reason: self.dropped.append((work, reason)),
            clock=self.clock,
        )


def work(
    tokens: int = 1, deadline: float | None = None, lane: Lane = Lane.BULK, group: object = None, source: str = ""
) -> Work:
    return Work(Pairs.from_columns(["q"], ["t"]), tokens, lane, group, deadline, source)


def interactive(tokens: int = 1) -> Work:
    return work(tokens, lane=Lane.INTERACTIVE)
