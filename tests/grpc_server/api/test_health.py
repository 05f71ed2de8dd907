"""Health checks: watchers, half-open calls and silent connections affect neither other callers nor the drain."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from tests.support.grpc_calls import Health, refused
from tests.support.raw_http2 import CHECK, PREFACE, SCORE, SCORE_BATCH, SETTINGS, WATCH, RawPeer, frame, message
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = message(b"\x3a\x01x")
A_PAIR = message(pb.ScoreRequest(query="a", titles=["b"]).SerializeToString())
HALF_A_MESSAGE = message(b"\x0a", length=900)


def peer_without_window(server: ServerProcess) -> RawPeer:
    """Connect, and let the server send no message at all."""
    peer = RawPeer(server.socket_address)
    peer.http2.update_settings({4: 0})
    peer.flush()
    return peer


@contextmanager
def health_of(server: ServerProcess) -> Iterator[Health]:
    with server.channel() as channel:
        yield Health(channel)


def check(server: ServerProcess, service: str = "") -> int:
    with health_of(server) as health:
        return health.check(service)


def stuck_watch(server: ServerProcess) -> RawPeer:
    peer = peer_without_window(server)
    peer.send(peer.start(WATCH), message(b""), end=True)
    # Answered after the watch was begun, on a stream that needs no window: the write of the watch is now pending.
    assert peer.status(call_on(peer, "/no.such.Service/Method"), 30) == "12"
    return peer


def call_on(peer: RawPeer, path: str, data: bytes = message(b"")) -> int:
    stream = peer.start(path)
    peer.send(stream, data, end=True)
    return stream


def test_a_watcher_that_reads_nothing_blocks_neither_other_watchers_nor_the_end(start_server: StartServer) -> None:
    server = start_server("--lame-duck-seconds", "0")
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(stuck_watch(server))
        health = stack.enter_context(health_of(server))
        watch = health.watch()
        assert next(watch) == SERVING
        server.process.send_signal(signal.SIGTERM)
        # The watch reports the end even without a lame-duck time, and then ends.
        assert list(watch) == [NOT_SERVING]
        assert server.finish() == 0
    assert [event["msg"] for event in server.events][-2:] == ["draining", "stopped"]


def test_watches_have_a_bound_on_each_connection_and_leave_room_for_checks_and_for_other_connections(
    start_server: StartServer,
) -> None:
    server = start_server("--max-connections", "40")
    with ExitStack() as stack:
        for _ in range(21):
            peer = stack.enter_context(RawPeer(server.socket_address))
            streams = [call_on(peer, WATCH) for _ in range(100)]
            # Calls of one connection are begun in their order: once the last is refused, the others are taken or not.
            assert peer.status(streams[-1], 30) == "14"
        for service in ("", "liveness"):
            assert check(server, service) == SERVING
        by_proxies = tuple((f"x-hop-{number}", "a") for number in range(10))
        with health_of(server) as health:
            assert next(health.watch(metadata=by_proxies)) == SERVING


def test_checks_that_are_never_sent_leave_room_for_those_that_are(start_server: StartServer) -> None:
    server = start_server("--arrival-seconds", "3600")
    with ExitStack() as stack:
        for _ in range(10):
            peer = stack.enter_context(RawPeer(server.socket_address))
            for path in (CHECK, WATCH):
                for stream in [peer.start(path) for _ in range(50)]:
                    peer.send(stream, HALF_A_MESSAGE)
        assert [check(server) for _ in range(3)] == [SERVING] * 3
        with health_of(server) as health:
            assert next(health.watch()) == SERVING


@pytest.mark.parametrize("method", [CHECK, WATCH])
def test_a_health_message_over_a_kibibyte_is_refused(server: ServerProcess, method: str) -> None:
    with RawPeer(server.socket_address) as peer:
        service = b"\x0a\x80\x10" + b"x" * 2048
        assert peer.status(call_on(peer, method, message(service)), 30) == "8"


def half_open_connections(server: ServerProcess, stack: ExitStack) -> None:
    for opening in (b"", PREFACE[:10], PREFACE + SETTINGS, PREFACE + SETTINGS + frame(1, b"\x82\x86")):
        stack.enter_context(socket.create_connection(server.socket_address)).sendall(opening)


def half_open_calls(server: ServerProcess, stack: ExitStack) -> None:
    peer = stack.enter_context(RawPeer(server.socket_address))
    for path in (CHECK, WATCH, SCORE, SCORE_BATCH, REFLECTION):
        peer.send(peer.start(path), HALF_A_MESSAGE)


def idle_reflection(server: ServerProcess, stack: ExitStack) -> None:
    peer = stack.enter_context(RawPeer(server.socket_address))
    peer.send(peer.start(REFLECTION), LIST_SERVICES)


def unread_answers(server: ServerProcess, stack: ExitStack) -> None:
    peer = stack.enter_context(peer_without_window(server))
    for _ in range(20):
        call_on(peer, SCORE, A_PAIR)
    peer.send(peer.start(REFLECTION), LIST_SERVICES)


def unread_socket(server: ServerProcess, stack: ExitStack) -> None:
    """Fill the connection with answers to pings until nothing more goes through, in either direction."""
    peer = stack.enter_context(socket.create_connection(server.socket_address))
    peer.settimeout(2)
    pings = frame(6, b"12345678", stream=0) * 1000
    try:
        peer.sendall(PREFACE + SETTINGS)
        while True:
            peer.sendall(pings)
    except OSError:
        pass  # full, or closed for so many pings


def test_no_peer_keeps_a_server_that_has_answered_all(start_server: StartServer) -> None:
    server = start_server("--drain-seconds", "2", "--lame-duck-seconds", "0", "--arrival-seconds", "3600")
    with ExitStack() as stack:
        for peers in (half_open_connections, half_open_calls, idle_reflection, unread_answers, unread_socket):
            peers(server, stack)
        assert check(server) == SERVING
        server.process.send_signal(signal.SIGTERM)
        # Within pytest's own limit: before, some of these peers kept it for ever.
        server.process.wait()
        assert server.finish() == 0
    assert [event["msg"] for event in server.events if event["level"] == "ERROR"] == []


def test_a_peer_that_leaves_and_a_method_that_is_not_served_are_no_error_of_the_server(
    start_server: StartServer,
) -> None:
    server = start_server()
    for path, data in ((WATCH, message(b"")), (REFLECTION, LIST_SERVICES), (SCORE, A_PAIR)):
        with peer_without_window(server) as peer:
            call_on(peer, path, data)
            assert peer.status(call_on(peer, "/grpc.health.v1.Health/List"), 30) == "12"
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    assert [event for event in server.events if event["level"] == "ERROR"] == []


def test_a_health_watch_reports_an_unknown_service(server: ServerProcess) -> None:
    with health_of(server) as health:
        assert next(health.watch("other")) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        error = refused(lambda: health.check("other"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
