"""The sums of `docs/security.md`: each row's worst case is sent to a server, and all of them at once."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.conftest import ROOT
from tests.support.protobuf_wire import field
from tests.support.raw_http2 import PREFACE, SCORE, SCORE_BATCH, SETTINGS, RawPeer, message
from tests.support.server_process import ServerProcess

Address = tuple[str, int]
CHECK = "/grpc.health.v1.Health/Check"
INFER = "/inference.GRPCInferenceService/ModelInfer"
MIB = 1 << 20
MESSAGE_BYTES = 1 * MIB
CONNECTIONS = 256
QUEUED = (
    CHECK,
    "/grpc.health.v1.Health/Watch",
    SCORE,
    SCORE_BATCH,
    INFER,
    "/relevance.v1.RelevanceService/Explain",
    "/relevance.v1.RelevanceService/GetModel",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ModelMetadata",
    "/no.such.Service/Method",
)


class Peer(RawPeer):
    """Keeps what it hears: the headers of each call's answer, by stream."""

    def __init__(self, address: Address) -> None:
        self.heard: dict[int, dict[str, str]] = {}
        super().__init__(address)
        self.socket.settimeout(60)

    def receive(self) -> list[h2.events.Event]:
        events = super().receive()
        for event in events:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers = {str(key): str(value) for key, value in event.headers}
                self.heard.setdefault(event.stream_id, {}).update(headers)
            elif isinstance(event, h2.events.StreamReset):
                self.heard.setdefault(event.stream_id, {}).setdefault("grpc-status", "reset")
        return events

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send all, unless the call ends before."""
        while data and not self.status_of(stream):
            room = min(self.http2.local_flow_control_window(stream), self.http2.max_outbound_frame_size)
            if room > 0:
                self.http2.send_data(stream, data[:room], end_stream=end and room >= len(data))
                data = data[room:]
                self.flush()
            else:
                self.receive()

    def status_of(self, stream: int) -> str | None:
        return self.heard.get(stream, {}).get("grpc-status")


def open_peer(address: Address, stack: ExitStack) -> Peer:
    return stack.enter_context(Peer(address))


def quiet_connections(address: Address, stack: ExitStack) -> None:
    """Connections that have sent as much as one may without a call: headers to remember, and a part of a frame."""
    headers = b"".join(b"\x40\x02k%d\x64" % (number % 10) + b"v" * 100 for number in range(28))
    for _ in range(CONNECTIONS):
        connection = stack.enter_context(socket.create_connection(address))
        # Flags 5: the headers are whole, and the stream has no message.
        call = (len(headers) + 3).to_bytes(3) + b"\x01\x05\x00\x00\x00\x01\x82\x86\x84" + headers
        connection.sendall(PREFACE + SETTINGS + call + (1 << 14).to_bytes(3) + bytes(14_000))
        assert connection.recv(1)


def calls(path: str, count: int, headers: list[tuple[str, str]]) -> bytes:
    """Return the bytes of a connection that begins so many calls of no message."""
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
    http2.initiate_connection()
    for _ in range(count):
        stream = http2.get_next_available_stream_id()
        own = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"), ("te", "trailers")]
        http2.send_headers(stream, [*own, ("content-type", "application/grpc"), *headers])
        http2.send_data(stream, message(b""), end_stream=True)
    return http2.data_to_send()


def queued_calls(address: Address, stack: ExitStack) -> None:
    """More calls at once than gRPC queues, with as many headers as fit, of methods in all its queues."""
    floods = [calls(path, 100, [("a", "")] * 230) for path in QUEUED]
    with ExitStack() as connections:
        for number in range(90):
            connections.enter_context(socket.create_connection(address)).sendall(floods[number % len(floods)])
        with Peer(address) as peer:
            # Calls are taken in their order; this one is dropped as long as the queue is full.
            status: str | None = "reset"
            while status != "0":
                stream = peer.start(CHECK)
                peer.send(stream, message(b""), end=True)
                while not (status := peer.status_of(stream)):
                    peer.receive()


def unread_answers(address: Address, stack: ExitStack) -> None:
    """Unread answers of a message's size to calls of many headers: as many as leave memory for the rest."""
    titles = ["é" + "x" * 8000] * (MESSAGE_BYTES // 8010)
    body = message(pb.ScoreRequest(query="shoes", titles=titles).SerializeToString())
    peer = open_peer(address, stack)
    peer.http2.update_settings({4: 0})  # no window: the server may send no answer
    peer.flush()
    for _ in range(38):
        stream = peer.start(SCORE, [("a", "")] * 230)
        peer.send(stream, body, end=True)
        while stream not in peer.heard:
            peer.receive()
        assert "grpc-status" not in peer.heard[stream]


def withheld(path: str, places: int, waiting: int) -> Callable[[Address, ExitStack], None]:
    """Return a peer that sends all but the end of so many messages, and as much as it may of those that wait."""

    def send(address: Address, stack: ExitStack) -> None:
        body = message(bytes(MESSAGE_BYTES - 100), length=MESSAGE_BYTES - 10)
        peer = open_peer(address, stack)
        for _ in range(places):
            peer.send(peer.start(path), body)
        for _ in range(waiting // 64):
            peer = open_peer(address, stack)
            for _ in range(64):
                # A call that waits for a place is not read: no window but its first comes for it.
                stream = peer.start(path)
                peer.send(stream, body[: min(60_000, peer.http2.outbound_flow_control_window)])

    return send


def refused_messages() -> Iterator[tuple[str, bytes, int]]:
    """Yield path, message and whether it is compressed: all that takes room when it is read."""
    room = MESSAGE_BYTES - 100
    text = "\U0001f600".encode() + bytes(room)
    name = b"".join(field(4, field(1, b"%05x" % number)) for number in range(room // 12))
    bodies = [
        (SCORE_BATCH, field(1, b"q") + field(2, b"t") + field(3, bytes(2)) + field(4, bytes(room))),
        (SCORE_BATCH, field(1, b"q") + field(2, b"t") + field(3, b"\x80\x01" * (room // 2))),
        (SCORE_BATCH, b"\x18\x00" * (room // 2)),
        (SCORE, b"\x12\x00" * (room // 2)),
        (SCORE, b"\x1a\x00" * (room // 2)),
        (SCORE, field(1, b"q") + field(2, text)),
        (SCORE, b"\x7a\x00" * (room // 2)),
        (INFER, b"\x2a\x00" * (room // 2)),
        (INFER, b"\x3a\x00" * (room // 2)),
        (INFER, name),
        (INFER, field(5, field(1, b"query") + field(5, field(3, bytes(room))))),
        (INFER, field(5, field(1, b"query") + field(5, b"\x42\x00" * (room // 2)))),
        (INFER, field(7, bytes(room))),
        (CHECK, field(1, b"x" * room)),
        ("/relevance.v1.RelevanceService/GetModel", field(9, bytes(room))),
        ("/no.such.Service/Method", bytes(room)),
        (SCORE, b"\xff" * room),
    ]
    for path, body in bodies:
        yield path, body, 0
        yield path, gzip.compress(body, 1), 1
    yield SCORE, gzip.compress(bytes(128 * MIB)), 1


def send_refused(address: Address, stack: ExitStack) -> None:
    for path, body, compressed in refused_messages():
        for _ in range(2):
            with Peer(address) as peer:
                stream = peer.start(path, [("grpc-encoding", "gzip")] if compressed else ())
                peer.send(stream, message(body, compressed=compressed), end=True)
                while not peer.status_of(stream):
                    peer.receive()
                assert peer.status_of(stream) != "0"


# Ordered so that none blocks the next: messages being received occupy the slots of all later calls.
WORST = {
    "quiet connections": quiet_connections,
    "calls that wait for the event loop": queued_calls,
    "calls in progress": unread_answers,
    "the message being read": send_refused,
    "messages of health checks and watches": withheld(CHECK, 8, 128),
    "messages being received": withheld(SCORE, 32, 512),
}


def documented() -> dict[str, int]:
    """Read the sums for messages of 1 MiB, in bytes."""
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.partition("## What it adds up to")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z][^|]+?) \|[^|]+\|[^|]+\| (\d+) MiB \|$", table, re.MULTILINE)
    return {what: int(mib) * MIB for what, mib in rows}


def most_memory(server: ServerProcess) -> int:
    """Return the most resident memory that the server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert match is not None
    return int(match[1]) << 10


@pytest.fixture
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    flags = ["--max-message-bytes", str(MESSAGE_BYTES), "--arrival-seconds", "120"]
    return start_server(*flags)


def test_hostile_peers_together_take_no_more_memory_than_documented(server: ServerProcess) -> None:
    sums = documented()
    assert sums.keys() >= WORST.keys()
    address = server.socket_address
    request = pb.ScoreRequest(query="red shoes", titles=["Red canvas sneakers"])
    with server.channel() as channel, ExitStack() as stack:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        assert stub.Score(request).results
        # What each holds it goes on holding, so that the last meets all of them.
        before = begin = most_memory(server)
        for what, peers in WORST.items():
            peers(address, stack)
            after = most_memory(server)
            assert after - before <= sums[what], (what, (after - before) / MIB)
            before = after
        assert after - begin <= sum(sums.values())
        stack.close()
        while True:
            try:
                assert stub.Score(request).results
                break
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE
