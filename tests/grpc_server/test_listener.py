"""The limits that gRPC itself enforces, seen by a peer."""

from __future__ import annotations

import socket
from collections.abc import Callable

import grpc
import pytest

from grpc_server.listener import is_loopback
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.raw_http2 import SCORE, RawPeer
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("scorer.example", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_connections_over_the_limit_are_closed_and_there_is_room_again(start_server: StartServer) -> None:
    server = start_server("--max-connections", "2")
    with RawPeer(server.socket_address) as first, RawPeer(server.socket_address) as second:
        for peer in (first, second):
            assert peer.receive()
        with socket.create_connection(server.socket_address) as third:
            assert third.recv(1) == b""
    with server.channel() as channel:
        grpc.channel_ready_future(channel).result()


def test_headers_over_the_limit_are_refused_and_smaller_ones_are_not(server: ServerProcess) -> None:
    request = pb.ScoreRequest(query="red shoes", titles=["Red canvas sneakers"])
    with server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        assert stub.Score(request, metadata=(("x-big", "v" * 7_000),)).results
        with pytest.raises(grpc.RpcError) as error:
            stub.Score(request, metadata=(("x-big", "v" * 9_000),))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_call_that_never_goes_on_does_not_keep_its_connection(start_server: StartServer) -> None:
    server = start_server("--connection-seconds", "0.2", "--connection-grace-seconds", "0.2")
    with RawPeer(server.socket_address) as peer:
        peer.start(SCORE)
        peer.socket.settimeout(20)
        while peer.socket.recv(65536):
            pass
