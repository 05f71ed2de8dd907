"""The same model behind other servers: CPU for 100,000 nightly pairs, and the latency of a single pair.

python -m benchmarks.other_servers DATA --python VENV/bin/python [--pairs 100000] [--runs 3]

`VENV` is an environment with mosec, litserve or mlserver and what the model needs (numpy, onnxruntime, tokenizers,
pydantic), but not this project, which is added to its path. The dependencies of those three conflict with each other;
`--servers` measures some of them at a time. Each server runs the same graphs on one thread; see `benchmarks/others/`.
Bulk is 256 pairs a call and 8 in flight, a title's pairs together; single pairs come one at a time on one connection.
CPU is that of the server and all its processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any
from zlib import crc32

import grpc
import psutil

from benchmarks.measured_server import Server, server
from benchmarks.results_file import Figure, add_json_flag, write_result
from benchmarks.scorer_speed import read_pairs
from benchmarks.service import send_all
from qtr.load_generator import Pair, batch_request, percentile
from relevance_model import default_bundle_path
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
CALL_ROWS = 256
IN_FLIGHT = 8
SINGLES = 2000
WARM_UP = 200
OURS = "qtr serve"
PATHS = {"mosec": "/inference", "litserve": "/predict", "mlserver": "/v2/models/student/infer"}


@contextmanager
def other(kind: str, python: str) -> Iterator[Server]:
    """Run one of the other servers until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # gRPC comes with this project, the others with their own environment.
    python = sys.executable if kind == "grpc" else python
    command = [python, "-m", f"benchmarks.others.by_{kind}"]
    bundle = str(default_bundle_path())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCHMARK_PORT": str(port), "BENCHMARK_BUNDLE": bundle}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        one = Server(f"127.0.0.1:{port}", "", psutil.Process(process.pid), 0.0)
        give_up = monotonic() + 60
        while not _answers(kind, one.address):
            if process.poll() is not None or monotonic() > give_up:
                raise SystemExit(f"{kind} does not start with {python}")
            sleep(0.2)
        yield one
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(process.pid).children(recursive=True):
                each.kill()
        process.kill()
        process.wait()


def _answers(kind: str, address: str) -> bool:
    try:
        if kind == "grpc":
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=1)
        else:
            _Http(kind, address).ask([("red shoes", "Red canvas shoes")])
    except (OSError, RuntimeError, grpc.FutureTimeoutError):
        return False
    return True


class _Http:
    """One connection to a server that speaks JSON over HTTP."""

    def __init__(self, kind: str, address: str) -> None:
        self._kind = kind
        host, _, port = address.rpartition(":")
        self._connection = HTTPConnection(host, int(port), timeout=60)

    def body(self, pairs: Sequence[Pair]) -> bytes:
        """Return the body of a request."""
        columns = {"queries": [query for query, _ in pairs], "titles": [title for _, title in pairs]}
        if self._kind != "mlserver":
            return json.dumps(columns).encode()
        inputs = [
            {"name": name, "shape": [len(pairs), 1], "datatype": "BYTES", "data": texts}
            for name, texts in columns.items()
        ]
        return json.dumps({"inputs": inputs}).encode()

    def send(self, body: bytes) -> int:
        """Return the number of scores that came back."""
        self._connection.request("POST", PATHS[self._kind], body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self._kind} answered {response.status}")
        answer = json.loads(content)
        return len(answer["outputs"][0]["data"] if self._kind == "mlserver" else answer["scores"])

    def ask(self, pairs: Sequence[Pair]) -> int:
        """Send a request for the pairs; return the number of scores."""
        return self.send(self.body(pairs))


def bulk_over_http(kind: str, address: str, calls: Sequence[Sequence[Pair]]) -> None:
    """Send all calls, `IN_FLIGHT` at a time."""
    todo = iter([_Http(kind, address).body(call) for call in calls])
    lock, scored = threading.Lock(), [0] * IN_FLIGHT

    def caller(number: int) -> None:
        http = _Http(kind, address)
        while True:
            with lock:
                body = next(todo, None)
            if body is None:
                return
            scored[number] += http.send(body)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if sum(scored) != sum(map(len, calls)):
        raise SystemExit(f"{kind} scored {sum(scored)} of {sum(map(len, calls))} pairs")


def bulk(kind: str, one: Server, calls: Sequence[Sequence[Pair]]) -> tuple[float, float]:
    """Send all calls; return the CPU seconds of the server, and the elapsed seconds."""
    before, started = one.cpu(), perf_counter()
    if kind in PATHS:
        bulk_over_http(kind, one.address, calls)
    else:
        asyncio.run(send_all(one.address, [_columns(kind, call) for call in calls], IN_FLIGHT))
    return one.cpu() - before, perf_counter() - started


def single(kind: str, one: Server, pairs: Sequence[Pair]) -> list[float]:
    """Return the latency of each single pair."""
    if kind in PATHS:
        http = _Http(kind, one.address)
        return _timed(http.send, [http.body([pair]) for pair in pairs])
    with grpc.insecure_channel(one.address) as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        return _timed(stub.Score, [pb.ScoreRequest(query=query, titles=[title]) for query, title in pairs])


def _columns(kind: str, call: Sequence[Pair]) -> pb.ScoreBatchRequest:
    """Return a request: dictionary-encoded for this project's server, as its client does, else row by row."""
    if kind == OURS:
        return batch_request(call)
    return pb.ScoreBatchRequest(queries=[query for query, _ in call], titles=[title for _, title in call])


def _timed(ask: Callable[[Any], object], requests: Sequence[object]) -> list[float]:
    times = []
    for request in requests:
        started = perf_counter()
        ask(request)
        times.append(perf_counter() - started)
    return times[WARM_UP:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of Parquet files with columns query and title")
    parser.add_argument("--python", required=True, help="interpreter of the environment that holds the other servers")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--servers", nargs="*", default=[OURS, "grpc", *PATHS], choices=[OURS, "grpc", *PATHS])
    add_json_flag(parser)
    arguments = parser.parse_args()
    figures = []
    # A title's pairs together, as the job sends them.
    pairs = sorted(read_pairs(arguments.data, arguments.pairs), key=lambda pair: (crc32(pair[1].encode()), pair))
    calls = [pairs[start : start + CALL_ROWS] for start in range(0, len(pairs), CALL_ROWS)]
    print("server         CPU s/100,000 pairs  (least-most)  pairs/CPU s   pairs/s  single p50 ms   p99 ms")
    for kind in arguments.servers:
        cpu, rates, latencies = [], [], []
        for _ in range(arguments.runs):
            with server() if kind == OURS else other(kind, arguments.python) as one:
                latencies += single(kind, one, pairs[-SINGLES:])
                used, seconds = bulk(kind, one, calls)
            cpu.append(used * 100_000 / len(pairs))
            rates.append(len(pairs) / seconds)
        middle = median(cpu)
        print(
            f"{kind:14} {middle:20.2f}  ({min(cpu):.2f}-{max(cpu):.2f})  {100_000 / middle:11,.0f} "
            f"{median(rates):9,.0f}  {percentile(latencies, 0.5):13.2f} {percentile(latencies, 0.99):8.2f}",
            flush=True,
        )
        figures.append(Figure(name=kind, unit="CPU s for 100,000 pairs", values=[round(each, 2) for each in cpu]))
    write_result(arguments.json, "The same model behind other servers", figures)


if __name__ == "__main__":
    main()
