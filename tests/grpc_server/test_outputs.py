"""What the server depends on and does not own: who reads its log, descriptors, and when signals come."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.scrape import read_metrics
from tests.support.server_process import ServerProcess, socket_address
from tests.support.stuck_pipe import StuckPipe

StartServer = Callable[..., ServerProcess]
COMMAND = [sys.executable, "-m", "grpc_server", "--log-format", "json"]
GOOD = pb.ScoreRequest(query="red shoes", titles=["Red canvas shoes"])


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


class Unread:
    """A server whose log nobody reads, so that its ports must be known beforehand."""

    def __init__(self, shell: str, stdout: int | None, stderr: int | None) -> None:
        port, metrics_port = free_ports()
        self.metrics_address = f"127.0.0.1:{metrics_port}"
        ports = ["--port", str(port), "--metrics-port", str(metrics_port)]
        self.process = subprocess.Popen(["sh", "-c", shell, "sh", *COMMAND, *ports], stdout=stdout, stderr=stderr)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = relevance_pb2_grpc.RelevanceServiceStub(self.channel)

    def serve(self) -> None:
        """Wait until it serves, refuse 300 calls, and answer one."""
        assert len(self.stub.Score(GOOD, wait_for_ready=True).results) == 1
        assert refused(self.stub, 300) == {grpc.StatusCode.INVALID_ARGUMENT}
        assert len(self.stub.Score(GOOD).results) == 1

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


@pytest.fixture
def unread() -> Iterator[Callable[..., Unread]]:
    started: list[Unread] = []

    def start(shell: str = 'exec "$@"', stdout: int | None = None, stderr: int | None = None) -> Unread:
        started.append(Unread(shell, stdout, stderr))
        return started[-1]

    yield start
    for server in started:
        server.channel.close()
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def refused(stub: relevance_pb2_grpc.RelevanceServiceStub, times: int) -> set[grpc.StatusCode]:
    codes = set()
    for _ in range(times):
        with pytest.raises(grpc.RpcError) as error:
            stub.Score(pb.ScoreRequest(query="no titles"))
        codes.add(error.value.code())
    return codes


def test_a_blocked_reader_of_the_log_delays_nothing(unread: Callable[..., Unread]) -> None:
    with StuckPipe() as pipe:
        server = unread(stdout=pipe.writable, stderr=pipe.writable)
        server.serve()
        assert read_metrics(server.metrics_address).value("qtr_serving") == 1
        assert server.stop() == 0


def test_a_reader_of_the_log_that_left_delays_nothing_and_the_loss_is_counted(unread: Callable[..., Unread]) -> None:
    with StuckPipe() as pipe:
        pipe.close_reader()
        server = unread(stdout=pipe.writable, stderr=subprocess.PIPE)
        server.serve()
        assert read_metrics(server.metrics_address).value("qtr_log_lines_dropped_total") > 0
        assert server.stop() == 0
    assert server.process.stderr is not None
    assert server.process.stderr.read() == b""
    server.process.stderr.close()


def test_a_server_without_standard_streams_serves(unread: Callable[..., Unread]) -> None:
    server = unread('exec "$@" <&- >&- 2>&-')
    server.serve()
    opened = Path(f"/proc/{server.process.pid}/fd")
    assert {str((opened / name).readlink()) for name in "012"} == {os.devnull}
    assert server.stop() == 0


def test_refused_calls_are_told_in_sums(start_server: StartServer) -> None:
    server = start_server()
    stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel())
    refused(stub, 200)
    with pytest.raises(grpc.RpcError):
        stub.Score(pb.ScoreRequest(query="a", titles=["b"], model=pb.ModelVersion(name="other")))
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    told = [event for event in server.events if event["msg"] == "calls refused"]
    assert told[0]["calls"] == {"invalid": 1}  # at once
    assert told[-1]["latest"]["code"] == "NOT_FOUND"
    assert sum(event["calls"].get("invalid", 0) for event in told) == 200
    assert sum(event["calls"].get("unknown_model", 0) for event in told) == 1
    assert not [event for event in server.events if event["msg"] == "request refused"]


def test_descriptors_that_are_used_up_give_few_lines_and_are_used_when_free(start_server: StartServer) -> None:
    server = start_server()
    pid = server.process.pid
    with server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        stub.Score(GOOD)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())), before[1]))
        with contextlib.ExitStack() as stack:
            for address in (server.address, server.metrics_address) * 40:
                assert address is not None
                stack.enter_context(socket.create_connection(socket_address(address)))
            while not any(event["msg"] == "no metrics and no probes for now" for event in server.events):
                time.sleep(0.01)
            assert len(stub.Score(GOOD).results) == 1  # who is connected is served
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert read_metrics(server.metrics_address).value("qtr_serving") == 1
        with server.channel() as fresh:
            late = relevance_pb2_grpc.RelevanceServiceStub(fresh).Score(GOOD, wait_for_ready=True)
            assert len(late.results) == 1
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    assert [event["msg"] for event in server.events if event["level"] != "INFO"] == ["no metrics and no probes for now"]


def limited(soft: int, hard: int) -> subprocess.Popen[str]:
    shell = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"'
    flags = ["--port", "0", "--no-metrics"]
    return subprocess.Popen(["sh", "-c", shell, "sh", *COMMAND, *flags], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (256, 4096, None),
        (
            256,
            256,
            "--max-connections 1024 needs 1152 open files, but this process may open 256 (ulimit -n): 128 connections",
        ),
        (64, 64, "this process may open 64 files (ulimit -n), and needs 128 and one for each connection"),
    ],
    ids=["raised", "fitted", "too few"],
)
def test_connections_fit_the_descriptors(soft: int, hard: int, expected: str | None) -> None:
    with limited(soft, hard) as server:
        assert server.stdout is not None
        events = []
        for line in server.stdout:
            events.append(json.loads(line))
            if events[-1]["msg"] == "serving":
                server.send_signal(signal.SIGTERM)
    said = [event["msg"] for event in events if event["level"] in {"WARNING", "ERROR"}]
    assert len(said) == (expected is not None)
    assert all(sentence.startswith(expected or "") for sentence in said)
    assert server.returncode == (1 if soft == 64 else 0)


def catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signals_before_it_serves(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--no-metrics"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        # The last of them that the program takes; Python itself takes SIGINT.
        while not catches(server.pid, signal.SIGHUP):
            assert server.poll() is None
        assert "cygrpc" not in Path(f"/proc/{server.pid}/maps").read_text()  # before anything slow
        server.send_signal(number)
        said = []
        assert server.stdout is not None
        assert server.stderr is not None
        for line in server.stdout:
            said.append(json.loads(line)["msg"])
            if said[-1] == "bundle unchanged":  # the reload was not forgotten
                server.send_signal(signal.SIGTERM)
        assert server.stderr.read() == ""
    assert server.returncode == 0
    assert ("bundle unchanged" in said) == (number is signal.SIGHUP)
    assert ("serving" in said) == (number is signal.SIGHUP)


def test_a_signal_in_the_middle_of_an_import_ends_it_quietly() -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--no-metrics"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        # A library that is loaded begins with its own initialisation, which turns exceptions into errors.
        while "onnxruntime_pybind11_state" not in Path(f"/proc/{server.pid}/maps").read_text():
            assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        assert server.communicate() == (b"", b"")
    assert server.returncode == 0
