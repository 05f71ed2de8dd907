"""Effects of a change under load on callers: a rolling restart, another bundle, another certificate.

The callers use a channel as `grpc_client` opens it, without retries of their own. Each has one call in flight; the
change is repeated while they call.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import grpc

from benchmarks.measured_server import server
from grpc_client import RetryPolicy, TlsFiles
from grpc_client.transport.channel import open_channel
from qtr.load_generator import Pair, batch_request
from relevance_model import Bundle, default_bundle_path, write_bundle
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.certificates import Authority, replace

CALLERS = 8
CALL_ROWS = 64
# A deployment's minReadySeconds: time for channels to find a new replica before the next one goes.
READY_SECONDS = 3.0


def rolling_restart(pairs: list[Pair], seconds: float) -> None:
    """Restart two replicas in turn: each drains, ends and starts again on its port."""
    ports = [_free_port(), _free_port()]
    with ExitStack() as stack:
        replicas = [ExitStack() for _ in ports]
        for replica, port in zip(replicas, ports, strict=True):
            replica.enter_context(server("--port", str(port)))
            stack.push(replica)

        def change(number: int) -> None:
            replica, port = replicas[number % 2], ports[number % 2]
            replica.close()
            replica.enter_context(server("--port", str(port)))
            sleep(READY_SECONDS)

        target = f"ipv4:{','.join(f'127.0.0.1:{port}' for port in ports)}"
        _report("rolling restart", open_channel(target, RetryPolicy()), pairs, seconds, change)


def bundle_swap(pairs: list[Pair], seconds: float) -> None:
    """Move the link to the bundle that a server watches between two versions."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        versions = [folder / "one", folder / "two"]
        for version in versions:
            shutil.copytree(default_bundle_path(), version)
        manifest = Bundle.load(versions[1]).manifest
        write_bundle(versions[1], manifest.model_copy(update={"version": f"{manifest.version}-other"}))
        link = folder / "served"
        link.symlink_to(versions[0])

        def change(number: int) -> None:
            (folder / "next").symlink_to(versions[(number + 1) % 2])
            (folder / "next").replace(link)
            sleep(1.0)

        with server("--bundle", str(link), "--watch-bundle-seconds", "0.1") as one:
            _report("bundle swap", open_channel(one.address, RetryPolicy()), pairs, seconds, change)


def certificate_reload(pairs: list[Pair], seconds: float) -> None:
    """Renew the certificate of a server with TLS, whose connections are closed every second."""
    authority = Authority()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, key = authority.sign().write(folder)
        trusted = replace(folder / "ca.crt", authority.certificate)

        def change(_: int) -> None:
            authority.sign().write(folder)
            sleep(0.5)

        with server("--tls-cert", str(certificate), "--tls-key", str(key), "--connection-seconds", "1") as one:
            channel = open_channel(one.address, RetryPolicy(), TlsFiles(ca=str(trusted)))
            _report("certificate reload", channel, pairs, seconds, change)


@dataclass
class _Callers:
    """Callers, one thread and one call in flight each."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: float = 0.0
    done: bool = False

    def call(self, channel: grpc.Channel, requests: list[pb.ScoreBatchRequest], number: int) -> None:
        """Call until `done` is set."""
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        while not self.done:
            number += CALLERS
            started = perf_counter()
            try:
                answer = stub.ScoreBatch(requests[number % len(requests)], timeout=30)
                self.answers["OK", answer.model.version] += 1
            except grpc.RpcError as error:
                self.answers[f"{error.code().name}: {error.details()}", ""] += 1
            self.slowest = max(self.slowest, perf_counter() - started)


def _report(name: str, channel: grpc.Channel, pairs: list[Pair], seconds: float, change: Callable[[int], None]) -> None:
    requests = [batch_request(pairs[i * CALL_ROWS : (i + 1) * CALL_ROWS]) for i in range(100)]
    callers = _Callers()
    with channel, ThreadPoolExecutor(CALLERS) as pool:
        calling = [pool.submit(callers.call, channel, requests, number) for number in range(CALLERS)]
        changes, end = 0, perf_counter() + seconds
        while perf_counter() < end:
            change(changes)
            changes += 1
        callers.done = True
    for each in calling:
        each.result()
    versions = {version for code, version in callers.answers if code == "OK"}
    failed = {code: number for (code, _), number in callers.answers.items() if code != "OK"}
    print(
        f"{name}: {changes} changes, {sum(callers.answers.values()):,} calls of {CALL_ROWS} pairs, failed "
        f"{failed or 'none'}, versions seen {len(versions)}, slowest call {callers.slowest * 1e3:.0f} ms"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
