"""A load generator for the service: bulk callers that keep it saturated, and a person who asks now and then.

Closed loop: each bulk caller has one call in flight and sends the next when it is answered, as the nightly job does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import grpc
import grpc.aio

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

Pair = tuple[str, str]
_PRIORITY = "x-priority"
_ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes
    ----------
    bulk_callers
        Bulk calls in flight, in all.
    rows
        Pairs in a bulk call.
    single_callers
        Interactive calls in flight, one pair each.
    pause
        Seconds between a person's answer and the next question.
    warm_up, seconds
        Time before and during the measurement.
    """

    bulk_callers: int = 8
    rows: int = 256
    single_callers: int = 0
    pause: float = 0.0
    warm_up: float = 1.0
    seconds: float = 3.0


@dataclass
class Measured:
    """What came back during the measurement; latencies in seconds."""

    seconds: float = 0.0
    bulk_pairs: int = 0
    bulk_latencies: list[float] = field(default_factory=list)
    single_latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def pairs_per_second(self) -> float:
        """Bulk pairs answered a second."""
        return self.bulk_pairs / self.seconds

    @property
    def calls_per_second(self) -> float:
        """Interactive calls answered a second."""
        return len(self.single_latencies) / self.seconds


def percentile(latencies: Sequence[float], share: float) -> float:
    """Return the smallest latency that at least `share` of them do not exceed, in milliseconds; NaN of none."""
    if not latencies:
        return float("nan")
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3


def run(target: str, pairs: Sequence[Pair], load: Load) -> Measured:
    """Send the load to `target` from this process and measure."""
    return asyncio.run(_run(target, pairs, load))


async def _run(target: str, pairs: Sequence[Pair], load: Load) -> Measured:
    # The servers are on this machine: no proxy that the shell names leads to them.
    options = [
        ("grpc.service_config", _ROUND_ROBIN),
        ("grpc.max_receive_message_length", 16 << 20),
        ("grpc.enable_http_proxy", 0),
    ]
    measured = Measured()
    begin = perf_counter() + load.warm_up
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
                if await _ask(stub.ScoreBatch(request, timeout=60, metadata=[(_PRIORITY, "bulk")]), measured):
                    _note(measured.bulk_latencies, started, begin, end)
                    if begin <= perf_counter() < end:
                        measured.bulk_pairs += load.rows

        async def single(first: int) -> None:
            number = first
            while (started := perf_counter()) < end:
                query, title = pairs[number % len(pairs)]
                number += load.single_callers
                request = pb.ScoreRequest(query=query, titles=[title])
                if await _ask(stub.Score(request, timeout=60, metadata=[(_PRIORITY, "interactive")]), measured):
                    _note(measured.single_latencies, started, begin, end)
                if load.pause:
                    await asyncio.sleep(load.pause)

        await asyncio.gather(
            *(bulk(first) for first in range(load.bulk_callers)), *(single(i) for i in range(load.single_callers))
        )
    measured.seconds = load.seconds
    return measured


def batch_request(pairs: Sequence[Pair]) -> pb.ScoreBatchRequest:
    """Dictionary-encode pairs as the nightly job does."""
    queries = {query: i for i, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
    titles = {title: i for i, title in enumerate(dict.fromkeys(title for _, title in pairs))}
    return pb.ScoreBatchRequest(
        queries=queries,
        titles=titles,
        query_index=[queries[query] for query, _ in pairs],
        title_index=[titles[title] for _, title in pairs],
    )


async def _ask(call: Awaitable[object], measured: Measured) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        name = error.code().name
        measured.failures[name] = measured.failures.get(name, 0) + 1
        return False
    return True


def _note(latencies: list[float], started: float, begin: float, end: float) -> None:
    now = perf_counter()
    if begin <= started and now < end:
        latencies.append(now - started)
