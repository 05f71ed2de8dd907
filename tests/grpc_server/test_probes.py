"""Kubernetes' probes: HTTP on a port of their own, which no caller can keep busy."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from grpc_server.telemetry.http_endpoint import LIVE, MAX_CONNECTIONS, READY
from tests.support.certificates import Authority, replace
from tests.support.raw_http2 import PREFACE, SETTINGS
from tests.support.server_process import ServerProcess, socket_address

StartServer = Callable[..., ServerProcess]


def probe(server: ServerProcess, path: str) -> int:
    assert server.metrics_address is not None
    connection = http.client.HTTPConnection(server.metrics_address)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_server_is_ready_until_it_drains_and_live_until_it_ends(start_server: StartServer) -> None:
    server = start_server("--lame-duck-seconds", "1800", "--drain-seconds", "3600")
    assert (probe(server, READY), probe(server, LIVE)) == (200, 200)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("draining")
    assert (probe(server, READY), probe(server, LIVE)) == (503, 200)
    server.process.kill()


def test_mutual_tls_needs_no_certificate_for_probes(start_server: StartServer, tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.sign().write(tmp_path)
    ca = replace(tmp_path / "ca.crt", authority.certificate)
    server = start_server("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(ca))
    assert (probe(server, READY), probe(server, LIVE)) == (200, 200)


def test_callers_that_hold_all_connections_block_no_probe(start_server: StartServer) -> None:
    server = start_server("--max-connections", "40")
    assert server.metrics_address is not None
    http = socket_address(server.metrics_address)
    with ExitStack() as stack:
        for _ in range(40):
            held = stack.enter_context(socket.create_connection(server.socket_address))
            held.sendall(PREFACE + SETTINGS)
            assert held.recv(1)
        for _ in range(2 * MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(http)).sendall(b"GET /livez HT")
        with server.channel() as channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=0.5)  # no caller can connect
        assert (probe(server, READY), probe(server, LIVE)) == (200, 200)
