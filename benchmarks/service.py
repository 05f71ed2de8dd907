"""The service on two cores: bulk cost, single pairs, interactive calls during a nightly run, overload, changes.

python -m benchmarks.service DATA [start|bulk|single|concurrent|mixed|overload|…] [--seconds 10] [--json FILE]

The load comes from this process, the server is another one. Without names, all scenarios are run in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep

import grpc
import grpc.aio

from benchmarks import minimal_client
from benchmarks.changes import bundle_swap, certificate_reload, rolling_restart
from benchmarks.measured_server import Server, server
from benchmarks.results_file import Figure, add_json_flag, write_result
from benchmarks.scorer_speed import as_columns, read_pairs
from qtr.load_generator import Load, LoadResult, Pair, batch_request, percentile, run
from relevance_model import Bundle, Scorer
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

ROUNDS = 3
BULK_PAIRS = 100_000
CALL_ROWS = 256
OVERLOAD_DEADLINE_SECONDS = 1.0
_SCORE = "/relevance.v1.RelevanceService/Score"


def bulk(pairs: list[Pair], seconds: float) -> list[Figure]:  # noqa: ARG001
    """Compare the CPU time per 100,000 pairs of the server with that of the in-process scorer, on the same pairs."""
    pairs = pairs[:BULK_PAIRS]
    calls = [pairs[start : start + CALL_ROWS] for start in range(0, len(pairs), CALL_ROWS)]
    columns = [as_columns(call) for call in calls]
    requests = [batch_request(call) for call in calls]
    ratios, served_cpu, plain_cpu, rates = [], [], [], []
    for _ in range(ROUNDS):
        scorer = Scorer(Bundle.default())
        before = process_time()
        for call in columns:
            scorer.score(call)
        plain = process_time() - before
        with server() as one:
            before, started = one.cpu(), perf_counter()
            asyncio.run(send_all(one.address, requests))
            served, wall = one.cpu() - before, perf_counter() - started
        ratios.append(served / plain)
        served_cpu.append(served * BULK_PAIRS / len(pairs))
        plain_cpu.append(plain * BULK_PAIRS / len(pairs))
        rates.append(len(pairs) / wall)
    print(
        f"bulk: server {median(served_cpu):.2f} CPU s per 100,000 pairs, in-process scorer {median(plain_cpu):.2f}, "
        f"ratio {median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}); {median(rates):,.0f} pairs/s on one server"
    )
    return [
        Figure(name="bulk, the server's CPU", unit="s for 100,000 pairs", values=served_cpu),
        Figure(name="bulk, the in-process scorer's CPU", unit="s for 100,000 pairs", values=plain_cpu),
        Figure(name="bulk, one server", unit="pairs/s", values=rates),
    ]


async def send_all(address: str, requests: list[pb.ScoreBatchRequest], in_flight: int = 8) -> None:
    """Send all requests by gRPC, `in_flight` at a time."""
    todo = iter(requests)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: relevance_pb2_grpc.RelevanceServiceAsyncStub = relevance_pb2_grpc.RelevanceServiceStub(channel)

        async def caller() -> None:
            for request in todo:
                await stub.ScoreBatch(request, timeout=60)

        await asyncio.gather(*(caller() for _ in range(in_flight)))


def _latency(name: str, measured: LoadResult) -> list[Figure]:
    p50, p99 = (percentile(measured.interactive_latencies, share) for share in (0.5, 0.99))
    print(
        f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {measured.calls_per_second:,.0f} single calls/s, "
        f"{measured.pairs_per_second:,.0f} bulk pairs/s, failures {measured.errors or 'none'}"
    )
    return _percentiles(name, p50, p99)


def _percentiles(name: str, p50: float, p99: float) -> list[Figure]:
    return [
        Figure(name=f"{name}, median", unit="ms", values=[p50]),
        Figure(name=f"{name}, 99th percentile", unit="ms", values=[p99]),
    ]


def single(pairs: list[Pair], seconds: float) -> list[Figure]:
    """One caller, one pair a call, an otherwise idle server."""
    return _interactive("single", pairs, seconds, callers=1)


def concurrent(pairs: list[Pair], seconds: float) -> list[Figure]:
    """Run 32 callers at once, one pair a call."""
    return _interactive("32 callers", pairs, seconds, callers=32)


def _interactive(name: str, pairs: list[Pair], seconds: float, callers: int) -> list[Figure]:
    """Call by gRPC's Python client, which takes a whole core for many callers, and by the minimal client."""
    messages = [pb.ScoreRequest(query=query, titles=[title]).SerializeToString() for query, title in pairs]
    with server() as one:
        figures = _latency(
            f"{name}, grpc.aio", run(one.address, pairs, Load(0, interactive_callers=callers, seconds=seconds))
        )
        minimal_client.call(one.address, _SCORE, messages, in_flight=callers, seconds=1)
        before, answered = one.cpu(), one.answered("Score")
        calls = minimal_client.call(one.address, _SCORE, messages, in_flight=callers, seconds=seconds)
        cpu, answered = one.cpu() - before, one.answered("Score") - answered
    [result] = pb.ScoreResponse.FromString(calls.last).results
    sent = len(calls.latencies)
    p50, p99 = (percentile(calls.latencies, share) for share in (0.5, 0.99))
    print(
        f"{name}, minimal client: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {sent / calls.seconds:,.0f} calls/s; "
        f"by the server's count {answered:,} of {sent:,} answered, the last {result.score:.3f} {result.label}; "
        f"server {cpu / sent * 1e6:.0f} CPU µs a call"
    )
    return figures + _percentiles(f"{name}, minimal client", p50, p99)


def mixed(pairs: list[Pair], seconds: float) -> list[Figure]:
    """Send interactive calls while bulk calls saturate the server, as in a nightly run."""
    with server() as one:
        load = Load(bulk_callers=8, rows=CALL_ROWS, interactive_callers=1, pause_seconds=0.02, seconds=seconds)
        return _latency("interactive caller during a bulk load", run(one.address, pairs, load))


@dataclass
class Offered:
    """Outcomes of calls that were sent at a fixed rate."""

    codes: Counter[str] = field(default_factory=Counter)
    refusal_latencies: list[float] = field(default_factory=list)
    late: int = 0


def overload(pairs: list[Pair], seconds: float) -> list[Figure]:
    """Offer ten times the capacity in an open loop; measure goodput, refusals, memory and recovery."""
    flags = ("--max-queued-tokens", "65536")
    with server(*flags) as one:
        peak = run(one.address, pairs, Load(bulk_callers=8, rows=CALL_ROWS, seconds=5)).pairs_per_second
        rate = 10 * peak / CALL_ROWS
        memory: list[float] = []
        watcher = threading.Thread(target=_watch, args=(one, memory, seconds))
        watcher.start()
        offered = asyncio.run(_offer(one.address, pairs, rate, seconds))
        watcher.join()
        after = run(
            one.address, pairs, Load(bulk_callers=8, rows=CALL_ROWS, warm_up_seconds=0.2, seconds=3)
        ).pairs_per_second
    good = offered.codes["OK"] * CALL_ROWS / seconds
    print(
        f"overload: peak {peak:,.0f} pairs/s; offered {rate * CALL_ROWS:,.0f}, goodput {good:,.0f} "
        f"({good / peak:.0%} of peak), answers {dict(offered.codes)}, accepted but late {offered.late}; "
        f"refusals p50 {percentile(offered.refusal_latencies, 0.5):.1f} ms, "
        f"p99 {percentile(offered.refusal_latencies, 0.99):.1f} ms; memory {min(memory):.0f}-{max(memory):.0f} MB; "
        f"afterwards {after:,.0f} pairs/s"
    )
    return [
        Figure(name="overload, peak", unit="pairs/s", values=[peak]),
        Figure(name="overload, answered in time", unit="pairs/s", values=[good]),
        Figure(name="overload, a refusal, median", unit="ms", values=[percentile(offered.refusal_latencies, 0.5)]),
        Figure(name="overload, most memory", unit="MB", values=[max(memory)]),
    ]


def _watch(one: Server, memory: list[float], seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        memory.append(one.rss_mb())
        sleep(1.0)


async def _offer(address: str, pairs: list[Pair], rate: float, seconds: float) -> Offered:
    offered = Offered()
    requests = [batch_request(pairs[start : start + CALL_ROWS]) for start in range(0, 100 * CALL_ROWS, CALL_ROWS)]
    running: set[asyncio.Task[None]] = set()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: relevance_pb2_grpc.RelevanceServiceAsyncStub = relevance_pb2_grpc.RelevanceServiceStub(channel)

        async def call(number: int) -> None:
            started = perf_counter()
            code = "OK"
            try:
                await stub.ScoreBatch(requests[number % len(requests)], timeout=OVERLOAD_DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            took = perf_counter() - started
            offered.codes[code] += 1
            if code == "UNAVAILABLE":
                offered.refusal_latencies.append(took)
            offered.late += code == "OK" and took > OVERLOAD_DEADLINE_SECONDS

        begin = perf_counter()
        sent = 0
        while (now := perf_counter() - begin) < seconds:
            while sent < now * rate:
                task = asyncio.create_task(call(sent))
                running.add(task)
                task.add_done_callback(running.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*running)
    return offered


def start(pairs: list[Pair], seconds: float) -> list[Figure]:
    """Measure the time from exec to serving, and the memory before and after a bulk load."""
    startups, memory = [], []
    for _ in range(ROUNDS):
        with server() as one:
            startups.append(one.startup_seconds)
            fresh = one.rss_mb()
            run(one.address, pairs, Load(bulk_callers=8, rows=CALL_ROWS, seconds=seconds))
            memory.append((fresh, one.rss_mb()))
    print(
        f"start: {median(startups):.2f} s from exec to serving; resident memory "
        f"{median(m for m, _ in memory):.0f} MB fresh, {median(m for _, m in memory):.0f} MB after a bulk load"
    )
    return [
        Figure(name="start, from exec to serving", unit="s", values=startups),
        Figure(name="start, memory when fresh", unit="MB", values=[fresh for fresh, _ in memory]),
        Figure(name="start, memory after a bulk load", unit="MB", values=[loaded for _, loaded in memory]),
    ]


SCENARIOS: dict[str, Callable[[list[Pair], float], list[Figure] | None]] = {
    scenario.__name__: scenario
    for scenario in (start, bulk, single, concurrent, mixed, overload, rolling_restart, bundle_swap, certificate_reload)
}


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Parquet files with columns query and title")
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], help="all if none is named")
    parser.add_argument("--seconds", type=float, default=10.0)
    add_json_flag(parser)
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.data, 200_000)
    figures: list[Figure] = []
    for name in arguments.scenarios or SCENARIOS:
        figures += SCENARIOS[name](pairs, arguments.seconds) or []
    write_result(arguments.json, "The service on two cores", figures)


if __name__ == "__main__":
    main()
