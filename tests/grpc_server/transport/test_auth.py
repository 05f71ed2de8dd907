"""Tokens: which calls are admitted, rotation, and that no token is ever logged."""

from __future__ import annotations

import hmac
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from grpc_server.errors import StartupError, UnauthenticatedError
from grpc_server.transport.auth import TokenFile
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.certificates import replace
from tests.support.grpc_calls import Health
from tests.support.raw_http2 import SCORE, RawPeer, message
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
OLD = "old-token-0123456789abcdef"
NEW = "new.token~0123456789abcde="
REQUEST = pb.ScoreRequest(query="red shoes", titles=["Red canvas sneakers"])


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return replace(tmp_path / "tokens", f"{OLD}\n".encode())


def score(server: ServerProcess, *authorization: str) -> grpc.StatusCode:
    with server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        try:
            stub.Score(REQUEST, metadata=tuple(("authorization", value) for value in authorization))
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_call_needs_a_token(start_server: StartServer, token_file: Path) -> None:
    server = start_server("--auth-token-file", str(token_file))
    assert score(server, f"Bearer {OLD}") is grpc.StatusCode.OK
    assert score(server, f"bearer {OLD}") is grpc.StatusCode.OK
    for wrong in ((), (f"Bearer {NEW}",), (OLD,), ("Bearer ",), (f"Basic {OLD}",), (f"Bearer {OLD}", f"Bearer {OLD}")):
        assert score(server, *wrong) is grpc.StatusCode.UNAUTHENTICATED, wrong


def test_health_is_open_and_reflection_is_not(start_server: StartServer, token_file: Path) -> None:
    server = start_server("--auth-token-file", str(token_file))
    with server.channel() as channel:
        health = Health(channel)
        assert health.check() == 1
        assert next(health.watch()) == 1
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.RpcError) as error:
            list(reflection.ServerReflectionInfo(iter([asked])))
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        answers = reflection.ServerReflectionInfo(iter([asked]), metadata=[("authorization", f"Bearer {OLD}")])
        assert "relevance.v1.RelevanceService" in str(list(answers))


def test_a_call_without_a_token_is_refused_before_its_message_is_read(
    start_server: StartServer, token_file: Path
) -> None:
    server = start_server("--auth-token-file", str(token_file))
    with RawPeer(server.socket_address) as peer:
        stream = peer.start(SCORE)
        peer.send(stream, message(b"", length=4 << 20))  # announced, never sent
        assert peer.status(stream, 10) == str(grpc.StatusCode.UNAUTHENTICATED.value[0])


def test_tokens_rotate_without_a_restart(start_server: StartServer, token_file: Path) -> None:
    server = start_server("--auth-token-file", str(token_file))
    ok, refused = grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED
    replace(token_file, f"{OLD}\n\n{NEW}\n".encode())
    assert [score(server, f"Bearer {token}") for token in (OLD, NEW)] == [ok, ok]
    replace(token_file, f"{NEW}\n".encode())
    assert [score(server, f"Bearer {token}") for token in (OLD, NEW)] == [refused, ok]


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"short\n", b"\xff" * 20], ids=["empty", "blank", "short", "binary"]
)
def test_a_file_without_a_token_refuses_every_call_and_is_logged(
    token_file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(token_file)
    token_file.write_bytes(content)  # in place, as a shell does it
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            tokens.check([("authorization", f"Bearer {OLD}")])
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told.count("token file has no token, every call is refused") == 1
    assert tokens.count() == 0


def test_a_removed_token_is_refused_even_if_another_line_is_broken(token_file: Path) -> None:
    tokens = TokenFile(token_file)
    replace(token_file, f"{NEW}\nshort\n".encode())
    tokens.check([("authorization", f"Bearer {NEW}")])
    assert "line 2 of the token file" in tokens.error
    with pytest.raises(UnauthenticatedError):
        tokens.check([("authorization", f"Bearer {OLD}")])


def test_a_token_of_the_same_length_written_in_place_at_once_counts(token_file: Path) -> None:
    other = OLD.replace("old", "new")
    for content in (other, OLD) * 20:
        tokens = TokenFile(token_file)
        token_file.write_text(content)
        tokens.check([("authorization", f"Bearer {content}")])


def test_a_file_that_cannot_be_read_keeps_the_last_good_one_and_is_read_once_it_can(
    token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(token_file)
    token_file.unlink()
    token_file.mkdir()  # there is something, and it cannot be read
    for _ in range(3):
        tokens.check([("authorization", f"Bearer {OLD}")])
    assert [record.getMessage() for record in caplog.records] == ["token file not read, the last good one stays"]
    assert "cannot be read: Is a directory" in tokens.error
    token_file.rmdir()
    token_file.write_text(NEW)
    tokens.check([("authorization", f"Bearer {NEW}")])
    assert (tokens.count(), tokens.error) == (1, "")


@pytest.mark.parametrize("kind", ["named pipe", "large file"])
def test_a_file_that_is_no_token_file_is_not_waited_for(token_file: Path, kind: str) -> None:
    tokens = TokenFile(token_file)
    token_file.unlink()
    if kind == "named pipe":
        os.mkfifo(token_file)
    else:
        with token_file.open("wb") as file:
            file.truncate(1 << 40)
    tokens.check([("authorization", f"Bearer {OLD}")])
    assert tokens.error.endswith("not a regular file" if kind == "named pipe" else "larger than 1 MiB")
    with pytest.raises(StartupError, match="cannot be read"):
        TokenFile(token_file)


def test_a_reading_that_failed_is_repeated_although_the_file_stays_the_same(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = TokenFile(token_file)
    replace(token_file, f"{NEW}\n".encode())
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(24, "Too many open files")))
        tokens.check([("authorization", f"Bearer {OLD}")])
    with pytest.raises(UnauthenticatedError):
        tokens.check([("authorization", f"Bearer {OLD}")])


def test_no_token_shows_in_the_log(start_server: StartServer, token_file: Path) -> None:
    server = start_server("--auth-token-file", str(token_file), "--log-level", "DEBUG")
    score(server, f"Bearer {OLD}")
    score(server, f"Bearer {NEW}")
    replace(token_file, f"{OLD} {NEW}\n".encode())
    score(server, f"Bearer {OLD}")
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    seen = str(server.events)
    assert "token file has no token, every call is refused" in seen
    assert "calls refused" in seen
    assert "0123456789" not in seen


def test_every_token_is_compared_in_constant_time(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(token_file, f"{OLD}\n{NEW}\n{'x' * 500}\n".encode())
    tokens = TokenFile(token_file)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    tokens.check([("authorization", f"Bearer {OLD}")])
    for guess in (OLD[:-1], "\udcff", "y" * 10_000):
        with pytest.raises(UnauthenticatedError, match="the token is not valid"):
            tokens.check([("authorization", f"Bearer {guess}")])
    assert compared == [(32, 32)] * 12


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\n \n", "holds no token"),
        (OLD.encode() + b"\nfar too short\n", "line 2 of the token file"),
        (b"\xe2\x82\xac" * 20, "line 1 of the token file"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_one_sentence(
    token_file: Path, content: bytes | None, expected: str
) -> None:
    token_file.unlink()
    if content is not None:
        token_file.write_bytes(content)
    with pytest.raises(StartupError) as error:
        TokenFile(token_file)
    assert str(token_file) in str(error.value)
    assert expected in str(error.value)
    assert OLD not in str(error.value)


def test_listening_beyond_this_machine_is_logged(start_server: StartServer, token_file: Path) -> None:
    def warnings(*flags: str) -> list[str]:
        return [event["msg"] for event in start_server(*flags).events if event["level"] == "WARNING"]

    assert warnings("--host", "127.0.0.1") == []
    assert warnings("--host", "localhost") == []
    assert warnings("--host", "0.0.0.0") == ["listening beyond this machine without TLS or a token"]
    tokens = ["--auth-token-file", str(token_file)]
    assert warnings("--host", "0.0.0.0", *tokens) == ["tokens travel beyond this machine without TLS"]


def test_a_missing_token_file_stops_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_server", "--port", "0", "--auth-token-file", str(tmp_path / "none")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"the token file {tmp_path}/none cannot be read" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
