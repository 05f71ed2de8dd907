"""Kubernetes' probes, and the probe of our own for servers with TLS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Authority, replace
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]


def probe(server: ServerProcess, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    port = server.address.rpartition(":")[2]
    return subprocess.run(
        [sys.executable, "-m", "grpc_server.probe", *flags],
        env=os.environ | {"QTR_PORT": port, "QTR_HOST": "0.0.0.0", "QTR_SECONDS": "600"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_serving_server_is_healthy_and_live(server: ServerProcess) -> None:
    for flags in ([], ["--service", "liveness"], ["--service", "relevance.v1.RelevanceService"]):
        result = probe(server, *flags)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_unknown_service_and_a_missing_server_are_one_sentence(server: ServerProcess) -> None:
    unknown = probe(server, "--service", "nobody")
    assert unknown.returncode == 1
    assert "NOT_FOUND" in unknown.stderr
    missing = probe(server, "--port", "1", "--seconds", "2")
    assert missing.returncode == 1
    assert missing.stderr.startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert len(missing.stderr.splitlines()) == 1


def test_a_draining_server_is_live_and_not_ready(start_server: StartServer) -> None:
    server = start_server("--lame-duck-seconds", "1800", "--drain-seconds", "3600")
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("draining")
    ready, live = probe(server), probe(server, "--service", "liveness")
    server.process.kill()
    assert (ready.returncode, ready.stderr.endswith("NOT_SERVING\n")) == (1, True)
    assert (live.returncode, live.stderr) == (0, "")


def test_it_speaks_mutual_tls_with_the_servers_own_certificate(start_server: StartServer, tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.sign().write(tmp_path)
    ca = replace(tmp_path / "ca.crt", authority.certificate)
    flags = ["--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(ca)]
    server = start_server(*flags)
    variables = {"QTR_TLS_CERT": str(certificate), "QTR_TLS_KEY": str(key), "QTR_TLS_CLIENT_CA": str(ca)}
    result = probe(server, "--service", "liveness", **variables)
    assert (result.returncode, result.stderr) == (0, "")
    assert probe(server).returncode == 1
    gone = probe(server, **variables | {"QTR_TLS_CLIENT_CA": str(tmp_path / "gone.crt")})
    assert gone.returncode == 2
    assert "gone.crt cannot be read (No such file or directory)" in gone.stderr


@pytest.mark.parametrize("trusted", ["authority", "self-signed"])
def test_plain_tls_trusts_what_it_is_told(start_server: StartServer, tmp_path: Path, trusted: str) -> None:
    authority = Authority()
    certificate, key = authority.sign().write(tmp_path)
    server = start_server("--tls-cert", str(certificate), "--tls-key", str(key))
    variables = {"QTR_TLS_CERT": str(certificate), "QTR_TLS_KEY": str(key)}
    ca = replace(tmp_path / "ca.crt", authority.certificate if trusted == "authority" else Authority().certificate)
    result = probe(server, "--tls-ca", str(ca), "--seconds", "2", **variables)
    assert result.returncode == (0 if trusted == "authority" else 1), result.stderr
    assert (
        probe(server, "--tls-ca", str(ca), "--tls-name", "other.example", "--seconds", "2", **variables).returncode == 1
    )
