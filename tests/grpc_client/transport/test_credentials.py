"""The client against a server that asks for TLS and a token."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grpc_client import (
    ClientConfig,
    ConfigError,
    RelevanceClient,
    RequestRejectedError,
    RetryPolicy,
    TargetUnavailableError,
    TlsFiles,
)
from grpc_client.transport.credentials import BearerToken, channel_credentials
from tests.support.certificates import Authority, replace
from tests.support.kubernetes_api import KubernetesApi
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
OLD = "old-token-0123456789abcdef"
NEW = "new-token-0123456789abcdef"
QUICK = RetryPolicy(budget_seconds=3, initial_backoff_seconds=0.01, max_backoff_seconds=0.05)


def test_a_token_is_read_once_and_again_after_a_refusal(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OLD}\ncomment\n")
    token = BearerToken(str(file))
    assert token.value() == OLD
    assert not token.has_changed(OLD)
    file.write_text(NEW)
    assert token.value() == OLD
    assert token.has_changed(OLD)
    assert token.value() == NEW


@pytest.mark.parametrize("content", [b"", b"\n\n", "t\u00f6ken".encode()])
def test_a_file_without_a_token_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{re.escape(str(file))} holds no token"):
        BearerToken(str(file)).value()


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    missing = tmp_path / "ca.crt"
    with pytest.raises(ConfigError, match=f"{re.escape(str(missing))} cannot be read: No such file"):
        channel_credentials(TlsFiles(ca=str(missing)))
    with pytest.raises(ConfigError, match=f"{re.escape(str(missing))} cannot be read: No such file"):
        BearerToken(str(missing)).value()


class Secured:
    """A server behind mutual TLS and a token, and what a caller needs."""

    def __init__(self, start_server: StartServer, folder: Path) -> None:
        authority = Authority()
        self.ca = str(replace(folder / "ca.crt", authority.certificate))
        certificate, key = authority.sign().write(folder)
        own, own_key = authority.sign("job").write(folder, "client")
        self.identity = (str(own), str(own_key))
        self.server_tokens = replace(folder / "server-tokens", f"{OLD}\n".encode())
        self.token = replace(folder / "token", f"{OLD}\n".encode())
        self.server = start_server(
            *("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", self.ca),
            *("--auth-token-file", str(self.server_tokens)),
        )
        self.target = self.server.address

    def config(self, **changes: object) -> ClientConfig:
        settings = {"tls": TlsFiles(self.ca, *self.identity), "token_file": str(self.token), "retry": QUICK, **changes}
        return ClientConfig(self.target, **settings)  # type: ignore[arg-type]


@pytest.fixture
def secured(start_server: StartServer, tmp_path: Path) -> Secured:
    return Secured(start_server, tmp_path)


def test_every_call_goes_through_tls_with_the_token(secured: Secured) -> None:
    with RelevanceClient(secured.config()) as client:
        assert len(client.score("red shoes", ["Red canvas sneakers"]).titles) == 1
        assert len(client.score_batch(["red shoes"], ["Red canvas sneakers"]).scores) == 1
        assert client.model().limits.max_rows == 4096


def test_what_the_server_does_not_take_ends_the_call(secured: Secured, tmp_path: Path) -> None:
    with RelevanceClient(secured.config(token_file=None)) as client:
        with pytest.raises(RequestRejectedError, match="UNAUTHENTICATED") as error:
            client.score("a", ["b"])
        assert error.value.code == "UNAUTHENTICATED"
    other = str(replace(tmp_path / "other.crt", Authority("other").certificate))
    for tls in (None, TlsFiles(secured.ca), TlsFiles(other, *secured.identity)):
        with RelevanceClient(secured.config(tls=tls)) as client, pytest.raises(TargetUnavailableError):
            client.score("a", ["b"])


def test_a_new_token_is_read_when_the_old_one_is_refused(secured: Secured) -> None:
    with RelevanceClient(secured.config()) as client:
        client.score("a", ["b"])
        replace(secured.server_tokens, f"{NEW}\n".encode())
        with pytest.raises(RequestRejectedError, match="UNAUTHENTICATED"):
            client.score("a", ["b"])
        replace(secured.token, f"{NEW}\n".encode())
        assert client.score("a", ["b"]).titles


def test_a_file_that_cannot_be_used_is_one_sentence_with_its_name(secured: Secured, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    empty = str(replace(tmp_path / "empty", b"\n"))
    for changes, expected in (
        ({"tls": TlsFiles(none)}, f"{none} cannot be read: No such file or directory"),
        ({"token_file": none}, f"{none} cannot be read: No such file or directory"),
        ({"token_file": empty}, f"{empty} holds no token"),
    ):
        with RelevanceClient(secured.config(**changes)) as client, pytest.raises(ConfigError, match=expected):
            client.score("a", ["b"])
    with pytest.raises(ConfigError, match="given together"):
        TlsFiles(certificate=none)


def test_no_secret_is_part_of_the_settings(secured: Secured) -> None:
    config = secured.config()
    with RelevanceClient(config) as client:
        client.score("a", ["b"])
        for shown in (repr(config), repr(client), str(vars(client)), repr(pickle.dumps(config))):
            assert OLD not in shown
            assert "PRIVATE KEY" not in shown
    assert pickle.loads(pickle.dumps(config)) == config


def test_qtr_score_calls_through_tls_with_a_token(secured: Secured) -> None:
    own, own_key = secured.identity
    command = [sys.executable, "-m", "qtr", "score", "--query", "red shoes", "--title", "Red sneakers", "--json"]
    command += ["--target", secured.target, "--tls-ca", secured.ca, "--token-file", str(secured.token)]
    identity = ["--tls-cert", own, "--tls-key", own_key]
    result = subprocess.run([*command, *identity], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert '"score"' in result.stdout
    half = subprocess.run([*command, *identity[:2]], capture_output=True, text=True, check=False)
    assert half.returncode == 2
    assert half.stderr.strip() == "qtr score: a client certificate and its key are given together, or neither"


@pytest.mark.parametrize(
    ("name", "accepted"), [("relevance.search.svc", True), ("relevance.other.svc", False)], ids=["service", "another"]
)
def test_addresses_by_kubernetes_are_trusted_by_the_services_name(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, accepted: bool
) -> None:
    authority = Authority()
    ca = str(replace(tmp_path / "ca.crt", authority.certificate))
    certificate, key = authority.sign(alternatives=(name,)).write(tmp_path)
    server = start_server("--tls-cert", str(certificate), "--tls-key", str(key))
    with KubernetesApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
        api.set_endpoints([server.address])
        retry = RetryPolicy() if accepted else QUICK
        config = ClientConfig("k8s:///search/relevance:grpc", tls=TlsFiles(ca), retry=retry)
        with RelevanceClient(config) as client:
            if accepted:
                assert client.model().labels
            else:
                with pytest.raises(TargetUnavailableError):
                    client.model()
