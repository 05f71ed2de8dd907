"""Traffic follows DNS: three servers behind a real name server that plays Kubernetes' headless Service.

The servers listen on addresses of their own, on one port, as pods do. `Scaled` changes the records as the Service does
when pods come and go, and one client of ours calls all the while.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grpc_client import ClientConfig, RelevanceClient, RetryPolicy
from tests.support.scrape import read_metrics
from tests.support.server_process import ServerProcess

NAME = "qtr-server-headless.qtr.svc.cluster.test"
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
CONNECTION_SECONDS = 8.0


class NameServer:
    """A dnsmasq on loopback that knows one name."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/usr/local/sbin")
        if found is None:
            pytest.skip("dnsmasq is not installed (Debian: apt install dnsmasq-base)")
        self._hosts = folder / "hosts"
        self._hosts.write_text("")
        self.port = free_port("127.0.0.1", socket.SOCK_DGRAM)
        flags = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces"]
        flags += ["--listen-address=127.0.0.1", f"--port={self.port}", f"--addn-hosts={self._hosts}", "--local-ttl=1"]
        flags += ["--user=", "--group=", "--pid-file=", "--log-facility=-"]
        self.process = subprocess.Popen([found, *flags], stderr=subprocess.PIPE, text=True)
        self._wait_for("read ")
        # What it says later is read as well, or it would wait for a full pipe.
        self._lines = threading.Thread(target=self._read_on, daemon=True)
        self._reread = threading.Event()
        self._lines.start()

    def set(self, addresses: tuple[str, ...]) -> None:
        """Return the name these addresses."""
        self._reread.clear()
        self._hosts.write_text("".join(f"{address} {NAME}\n" for address in addresses))
        self.process.send_signal(signal.SIGHUP)
        assert self._reread.wait()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._lines.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _wait_for(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return
        raise AssertionError("dnsmasq ended")

    def _read_on(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if str(self._hosts) in line:
                self._reread.set()


class Load:
    """Callers that go on until they are told to stop, and note what failed."""

    def __init__(self, client: RelevanceClient, threads: int = 2) -> None:
        self._client = client
        self._stop = threading.Event()
        self.failures: list[BaseException] = []
        self.answers = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._client.score("usb c cable", ["USB-C cable 2 m", "Desk lamp"])
                assert len(answer.titles) == 2
                self.answers += 1
            except BaseException as error:
                self.failures.append(error)


@pytest.fixture
def names(tmp_path: Path) -> Iterator[NameServer]:
    server = NameServer(tmp_path)
    yield server
    server.close()


def free_port(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as candidate:
        candidate.bind((address, 0))
        return int(candidate.getsockname()[1])


def server(address: str, port: int) -> ServerProcess:
    flags = ["--host", address, "--port", str(port)]
    return ServerProcess(*flags, "--connection-seconds", f"{CONNECTION_SECONDS:g}", "--connection-grace-seconds", "5")


def handled(process: ServerProcess) -> float:
    return sum(read_metrics(process.metrics_address).values("grpc_server_handled_total", grpc_method="Score"))


def shares(processes: list[ServerProcess], answers: int, load: Load) -> list[float]:
    """Return each server's share of the next answers."""
    before = [handled(process) for process in processes]
    until = load.answers + answers
    while load.answers < until and not load.failures:
        time.sleep(0.05)
    counts = [handled(process) - earlier for process, earlier in zip(processes, before, strict=True)]
    return [count / sum(counts) for count in counts]


def test_a_new_server_gets_its_share_and_one_that_goes_loses_no_call(names: NameServer) -> None:
    port = free_port(ADDRESSES[0])
    with server(ADDRESSES[0], port) as first, server(ADDRESSES[1], port) as second:
        names.set(ADDRESSES[:2])
        config = ClientConfig(f"dns://127.0.0.1:{names.port}/{NAME}:{port}", priority="interactive")
        with RelevanceClient(config) as client, Load(client) as load:
            assert min(shares([first, second], 200, load)) > 0.3

            with server(ADDRESSES[2], port) as third:
                names.set(ADDRESSES)
                # A connection ends after 8.8 s at most; then the name is resolved again.
                while min(shares([first, second, third], 200, load)) < 0.2:
                    assert load.failures == []

                # Kubernetes does both at once, in no order.
                names.set(ADDRESSES[:1])
                for leaving in (second, third):
                    leaving.process.send_signal(signal.SIGTERM)
                assert [leaving.finish() for leaving in (second, third)] == [0, 0]
                assert shares([first], 200, load) == [1.0]
        assert load.failures == []
        assert load.answers > 800


def test_calls_find_the_server_that_replaces_the_only_one(names: NameServer) -> None:
    """The replaced one was looked up moments ago; by default gRPC would ask DNS again only 30 s after that."""
    port = free_port(ADDRESSES[0])
    with server(ADDRESSES[0], port) as first, server(ADDRESSES[1], port):
        names.set(ADDRESSES[:1])
        config = ClientConfig(
            f"dns://127.0.0.1:{names.port}/{NAME}:{port}", priority="interactive", retry=RetryPolicy(budget_seconds=20)
        )
        with RelevanceClient(config) as client, Load(client) as load:
            assert shares([first], 20, load) == [1.0]
            names.set(ADDRESSES[1:2])
            first.process.send_signal(signal.SIGTERM)
            assert first.finish() == 0
            answered = load.answers
            while load.answers < answered + 20 and not load.failures:
                time.sleep(0.05)
        assert load.failures == []


def test_the_name_server_says_what_it_is_told(names: NameServer) -> None:
    names.set(ADDRESSES[:1])
    port = free_port(ADDRESSES[0])
    with server(ADDRESSES[0], port):
        config = ClientConfig(f"dns://127.0.0.1:{names.port}/{NAME}:{port}")
        with RelevanceClient(config) as client:
            assert client.model().ref.name == "student"
