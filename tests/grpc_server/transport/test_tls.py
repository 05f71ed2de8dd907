"""TLS from outside: who is let in, and certificates that change while calls run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic

import grpc
import pytest

from grpc_server.transport import tls
from grpc_server.transport.tls import CertificateFiles, ReloadingCertificate
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.certificates import DAY, Authority, Pair, replace
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
REQUEST = pb.ScoreRequest(query="red shoes", titles=["Red canvas sneakers"])


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority("another authority")


def tls_flags(folder: Path, pair: Pair) -> list[str]:
    certificate, key = pair.write(folder)
    return ["--tls-cert", str(certificate), "--tls-key", str(key)]


def mutual_flags(folder: Path, pair: Pair, client_authority: Authority) -> list[str]:
    ca = replace(folder / "clients.crt", client_authority.certificate)
    return [*tls_flags(folder, pair), "--tls-client-ca", str(ca)]


def trusting(authority: Authority, identity: Pair | None = None) -> grpc.ChannelCredentials:
    certificate, key = identity or (None, None)
    return grpc.ssl_channel_credentials(authority.certificate, key, certificate)


def score(server: ServerProcess, credentials: grpc.ChannelCredentials | None) -> int:
    with server.channel(credentials) as channel:
        response = relevance_pb2_grpc.RelevanceServiceStub(channel).Score(REQUEST)
    return len(response.results)


def refusal(server: ServerProcess, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        score(server, credentials)
    return error.value.code()


def test_a_client_that_trusts_the_authority_is_answered_over_tls(
    start_server: StartServer, tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.sign()))
    assert score(server, trusting(authority)) == 1
    assert refusal(server, trusting(stranger)) is grpc.StatusCode.UNAVAILABLE
    assert refusal(server, None) is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_asks_for_a_certificate_of_the_clients_authority(
    start_server: StartServer, tmp_path: Path, authority: Authority, stranger: Authority
) -> None:
    clients = Authority("clients")
    server = start_server(*mutual_flags(tmp_path, authority.sign(), clients))
    assert score(server, trusting(authority, clients.sign("job", alternatives=()))) == 1
    assert refusal(server, trusting(authority)) is grpc.StatusCode.UNAVAILABLE
    assert refusal(server, trusting(authority, stranger.sign("job"))) is grpc.StatusCode.UNAVAILABLE
    expired = clients.sign("job", not_after=-timedelta(hours=1))
    assert refusal(server, trusting(authority, expired)) is grpc.StatusCode.UNAVAILABLE


def test_only_listed_names_may_call(start_server: StartServer, tmp_path: Path, authority: Authority) -> None:
    names = ["--tls-client-names", "nightly", "--tls-client-names", "search.example"]
    server = start_server(*mutual_flags(tmp_path, authority.sign(), authority), *names)
    assert score(server, trusting(authority, authority.sign("nightly", alternatives=()))) == 1
    assert score(server, trusting(authority, authority.sign("x", alternatives=("search.example", "10.0.0.9")))) == 1
    for identity in (
        authority.sign("nightly.example", alternatives=()),
        # A certificate that has alternative names is not known by its common name.
        authority.sign("nightly", alternatives=("other.example",)),
    ):
        assert refusal(server, trusting(authority, identity)) is grpc.StatusCode.PERMISSION_DENIED


def test_a_renewal_under_load_fails_no_call_and_reaches_new_connections(
    start_server: StartServer, tmp_path: Path, authority: Authority
) -> None:
    server = start_server(*tls_flags(tmp_path, authority.sign()), "--connection-seconds", "0.5")
    successor = Authority("successor")
    both = Authority.__new__(Authority)
    both.certificate = authority.certificate + successor.certificate
    done = threading.Event()
    calls, failures = [], []

    def call_without_end() -> None:
        with server.channel(trusting(both)) as channel:
            stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
            while not done.is_set():
                try:
                    calls.append(len(stub.Score(REQUEST).results))
                except grpc.RpcError as error:
                    failures.append((error.code(), error.details()))

    threads = [threading.Thread(target=call_without_end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for signer in (authority, authority, successor):
        signer.sign().write(tmp_path)
        server.wait_for("new certificate in use")
    before = len(calls)
    assert score(server, trusting(successor)) == 1
    assert refusal(server, trusting(authority)) is grpc.StatusCode.UNAVAILABLE
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert before > 0


@pytest.mark.parametrize("fault", ["other key", "no certificate", "expired", "gone"])
def test_a_bad_new_certificate_leaves_the_old_one(
    start_server: StartServer, tmp_path: Path, authority: Authority, fault: str
) -> None:
    good = authority.sign()
    server = start_server(*tls_flags(tmp_path, good))
    match fault:
        case "other key":
            replace(tmp_path / "server.key", authority.sign().key)
        case "no certificate":
            replace(tmp_path / "server.crt", b"-----BEGIN CERTIFICATE-----\nno\n")
        case "expired":
            authority.sign(not_after=-timedelta(hours=1)).write(tmp_path)
        case "gone":
            (tmp_path / "server.crt").unlink()
    assert score(server, trusting(authority)) == 1
    event = server.wait_for("new certificate refused, the old one stays")
    assert str(tmp_path) in event["reason"]
    assert score(server, trusting(authority)) == 1
    authority.sign().write(tmp_path)
    assert score(server, trusting(authority)) == 1
    server.wait_for("new certificate in use")


def start_fails(*flags: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "grpc_server", "--port", "0", "--log-format", "text", *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = (result.stdout + result.stderr).splitlines()
    assert len(lines) == 1, lines
    return result.returncode, lines[0]


def test_a_key_of_another_certificate_is_one_sentence_at_the_start(tmp_path: Path, authority: Authority) -> None:
    flags = tls_flags(tmp_path, Pair(authority.sign().certificate, authority.sign().key))
    status, sentence = start_fails(*flags)
    assert status == 1
    assert f"{tmp_path}/server.key is not the key of the certificate {tmp_path}/server.crt" in sentence


@pytest.mark.parametrize(
    ("not_before", "not_after", "expected"),
    [(-2 * DAY, -DAY, "certificate has expired"), (DAY, 2 * DAY, "certificate is not yet valid")],
)
def test_a_certificate_out_of_date_is_one_sentence_at_the_start(
    tmp_path: Path, authority: Authority, not_before: timedelta, not_after: timedelta, expected: str
) -> None:
    status, sentence = start_fails(*tls_flags(tmp_path, authority.sign(not_before=not_before, not_after=not_after)))
    assert status == 1
    assert f"{tmp_path}/server.crt cannot be served with: {expected}" in sentence


def test_files_that_are_missing_or_not_pem_are_one_sentence_at_the_start(tmp_path: Path, authority: Authority) -> None:
    flags = tls_flags(tmp_path, authority.sign())
    nothing = replace(tmp_path / "nothing.pem", b"")
    for wrong, expected in (
        (["--tls-cert", str(tmp_path / "none"), *flags[2:]], f"{tmp_path}/none cannot be read: No such file"),
        ([*flags[:2], "--tls-key", str(nothing)], "are not a PEM certificate and its unencrypted PEM key"),
        ([*flags, "--tls-client-ca", str(nothing)], f"{nothing} holds no PEM certificate"),
    ):
        status, sentence = start_fails(*wrong)
        assert status == 1
        assert expected in sentence


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--tls-cert", "a"], "--tls-cert and --tls-key are given together"),
        (["--tls-client-ca", "a"], "--tls-client-ca needs --tls-cert and --tls-key"),
        (["--tls-client-names", "a"], "--tls-client-names needs --tls-client-ca"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(flags: list[str], expected: str) -> None:
    status, sentence = start_fails(*flags)
    assert status == 2
    assert expected in sentence


def test_a_new_certificate_that_could_not_be_used_is_tried_again(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = ReloadingCertificate(CertificateFiles(*authority.sign().write(tmp_path)))
    authority.sign().write(tmp_path)
    now = monotonic()
    monkeypatch.setattr(tls, "monotonic", lambda: now)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(24, "Too many open files")))
        assert [certificate.renewed() for _ in range(3)] == [None] * 3
    assert "cannot be read: Too many open files" in certificate.error
    now += 60
    assert certificate.renewed() is not None  # although the files have not changed again
    assert certificate.error == ""
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "new certificate refused, the old one stays"
    ]
