"""HTTP/2 that breaks the rules: raw bytes, and calls of which every frame can be changed.

Through raw sockets, or through h2 with its checks switched off, so that no well-behaved library stands between a test
and the server.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings

from relevance_stubs.relevance.v1 import relevance_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
SCORE = "/relevance.v1.RelevanceService/Score"
SCORE_BATCH = "/relevance.v1.RelevanceService/ScoreBatch"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
METHODS = (
    SCORE,
    SCORE_BATCH,
    "/relevance.v1.RelevanceService/Explain",
    "/relevance.v1.RelevanceService/GetModel",
    "/inference.GRPCInferenceService/ModelInfer",
    CHECK,
    WATCH,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/no.such.Service/Method",
)
TIMEOUT_SECONDS = 2.0


def message(body: bytes, *, length: int | None = None, compressed: int = 0) -> bytes:
    """Frame `body` as gRPC does, or lie about its length."""
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def frame(kind: int, payload: bytes, *, stream: int = 1) -> bytes:
    """Write an HTTP/2 frame without flags (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + payload


class RawPeer:
    """One HTTP/2 connection of which every frame can be changed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=TIMEOUT_SECONDS)
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.http2 = h2.connection.H2Connection(config)
        self.http2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.http2.data_to_send())

    def start(self, path: str, extra: Iterable[tuple[str, str]] = ()) -> int:
        """Send a call's headers and return its stream."""
        stream = self.http2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *extra,
        ]
        self.http2.send_headers(stream, headers)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a call's bytes, as far as the server's window lets them."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while data:
            room = min(self.http2.local_flow_control_window(stream), self.http2.max_outbound_frame_size)
            if room <= 0:
                if time.monotonic() > until:
                    return
                self.receive()
                continue
            self.http2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.http2.end_stream(stream)
            self.flush()

    def receive(self) -> list[h2.events.Event]:
        """Read what the server says next; nothing if it says nothing in time."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        events = self.http2.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return events

    def status(self, stream: int, seconds: float = TIMEOUT_SECONDS) -> str | None:
        """Wait for the call's `grpc-status`; `reset` if there is none, `None` if nothing came in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(TimeoutError):
                for event in self.receive():
                    if getattr(event, "stream_id", None) != stream:
                        continue
                    if isinstance(event, h2.events.StreamReset):
                        return "reset"
                    headers = dict(getattr(event, "headers", None) or ())
                    if "grpc-status" in headers:
                        return str(headers["grpc-status"])
        return None


@contextmanager
def unread_answer(address: tuple[str, int]) -> Iterator[None]:
    """Hold a call open: its answer is written, and never read."""
    with RawPeer(address) as peer:
        peer.socket.settimeout(None)
        peer.http2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        peer.flush()
        stream = peer.start(SCORE)
        peer.send(stream, message(pb.ScoreRequest(query="a", titles=["b"]).SerializeToString()), end=True)
        # The headers, which need no window, show that the answer was written.
        while not any(isinstance(event, h2.events.ResponseReceived) for event in peer.receive()):
            pass
        yield


def call(address: tuple[str, int], path: str, data: bytes, extra: Iterable[tuple[str, str]] = ()) -> str | None:
    """Make one call of raw bytes and return its status."""
    with RawPeer(address) as peer:
        stream = peer.start(path, extra)
        peer.send(stream, data, end=True)
        return peer.status(stream)


def shout(address: tuple[str, int], data: bytes, *, listen: bool = True) -> None:
    """Send raw bytes over a new connection."""
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as peer:
        peer.sendall(data)
        while listen and peer.recv(65536):
            pass
