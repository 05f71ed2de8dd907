"""A closed-loop load generator for the service: bulk callers that saturate it, and interactive callers with pauses.

Each caller has one call in flight and sends the next when it is answered, as the nightly job does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import grpc
import grpc.aio

from grpc_client.config import PRIORITY_KEY
from grpc_client.pair_batch import PairBatch
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

Pair = tuple[str, str]
_ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'


@dataclass(frozen=True)
class Load:
    """A load.

    Attributes
    ----------
    bulk_callers
        Bulk callers, one call in flight each.
    rows
        Pairs in a bulk call.
    interactive_callers
        Interactive callers, one call of one pair in flight each.
    pause_seconds
        Time between an answer and the next interactive call.
    warm_up_seconds, seconds
        Time before the measurement, and of it.
    """

    bulk_callers: int = 8
    rows: int = 256
    interactive_callers: int = 0
    pause_seconds: float = 0.0
    warm_up_seconds: float = 1.0
    seconds: float = 3.0


@dataclass
class LoadResult:
    """Answers and errors during the measurement; latencies in seconds, `errors` by status."""

    seconds: float = 0.0
    bulk_pairs: int = 0
    bulk_latencies: list[float] = field(default_factory=list)
    interactive_latencies: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def pairs_per_second(self) -> float:
        """Bulk pairs answered a second."""
        return self.bulk_pairs / self.seconds

    @property
    def calls_per_second(self) -> float:
        """Interactive calls answered a second."""
        return len(self.interactive_latencies) / self.seconds


def percentile(latencies: Sequence[float], share: float) -> float:
    """Return a percentile of latencies in seconds, as milliseconds; NaN if there are none.

    Examples
    --------
    >>> percentile([0.001, 0.003, 0.002], 0.5)
    2.0
    """
    if not latencies:
        return float("nan")
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def run(target: str, pairs: Sequence[Pair], load: Load) -> LoadResult:
    """Send `load` to `target` from this process, and return what was measured."""
    return asyncio.run(_run(target, pairs, load))


async def _run(target: str, pairs: Sequence[Pair], load: Load) -> LoadResult:
    # The servers are on this machine: the environment's proxy does not lead to them.
    options = [
        ("grpc.service_config", _ROUND_ROBIN),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.enable_http_proxy", 0),
    ]
    result = LoadResult()
    begin = perf_counter() + load.warm_up_seconds
    end = begin + load.seconds
    async with grpc.aio.insecure_channel(target, options) as channel:
        stub: relevance_pb2_grpc.RelevanceServiceAsyncStub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        calls = [
            batch_request(pairs[start : start + load.rows]) for start in range(0, len(pairs) - load.rows + 1, load.rows)
        ]

        async def bulk(first: int) -> None:
            number = first
            while (started := perf_counter()) < end:
                request = calls[number % len(calls)]
                number += load.bulk_callers
                if await _ask(stub.ScoreBatch(request, timeout=60, metadata=[(PRIORITY_KEY, "bulk")]), result):
                    _note(result.bulk_latencies, started, begin, end)
                    if begin <= perf_counter() < end:
                        result.bulk_pairs += load.rows

        async def interactive(first: int) -> None:
            number = first
            while (started := perf_counter()) < end:
                query, title = pairs[number % len(pairs)]
                number += load.interactive_callers
                request = pb.ScoreRequest(query=query, titles=[title])
                if await _ask(stub.Score(request, timeout=60, metadata=[(PRIORITY_KEY, "interactive")]), result):
                    _note(result.interactive_latencies, started, begin, end)
                if load.pause_seconds:
                    await asyncio.sleep(load.pause_seconds)

        await asyncio.gather(
            *(bulk(first) for first in range(load.bulk_callers)),
            *(interactive(i) for i in range(load.interactive_callers)),
        )
    result.seconds = load.seconds
    return result


def batch_request(pairs: Sequence[Pair]) -> pb.ScoreBatchRequest:
    """Return a dictionary-encoded request, as the nightly job sends it."""
    batch = PairBatch.of(pairs)
    return pb.ScoreBatchRequest(
        queries=batch.queries, titles=batch.titles, query_index=batch.query_index, title_index=batch.title_index
    )


async def _ask(call: Awaitable[object], result: LoadResult) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        name = error.code().name
        result.errors[name] = result.errors.get(name, 0) + 1
        return False
    return True


def _note(latencies: list[float], started: float, begin: float, end: float) -> None:
    now = perf_counter()
    if begin <= started and now < end:
        latencies.append(now - started)
