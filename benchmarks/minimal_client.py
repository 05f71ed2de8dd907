"""A load generator that needs little CPU: prepared HTTP/2 frames, sent over a plain socket.

gRPC's Python client takes a core for some 4,000 calls a second, one of the two cores that client and server share. Here
a call is two prepared frames that lack only their stream number (RFC 9113), with uncompressed headers (RFC 7541). Of an
answer only the end of the stream is read. The last answer is kept, and the server's metrics tell how many calls
succeeded.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, cycle
from time import perf_counter

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_MAX_WINDOW = (1 << 31) - 1
_FIRST_WINDOW = (1 << 16) - 1
_INITIAL_WINDOW_SIZE = 4
_HEADER_BYTES = 9


@dataclass
class Calls:
    """Latency of each call in seconds, the message of the last answer, and the total time."""

    latencies: list[float] = field(default_factory=list)
    last: bytes = b""
    seconds: float = 0.0


def call(address: str, path: str, messages: Sequence[bytes], *, in_flight: int, seconds: float) -> Calls:
    """Keep `in_flight` calls open on one connection for `seconds`, using the messages in turn.

    Raises
    ------
    ConnectionError
        If the server resets a call or ends the connection.
    """
    host, _, port = address.rpartition(":")
    headers = b"\x83\x86" + b"".join(  # POST, http
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b":path", path.encode()),
            (b":authority", address.encode()),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    bodies = cycle([struct.pack(">BI", 0, len(message)) + message for message in messages])
    streams = count(1, 2)
    began: dict[int, float] = {}
    calls = Calls()
    room = _FIRST_WINDOW

    def request() -> bytes:
        nonlocal room
        stream, body = next(streams), next(bodies)
        room -= len(body)
        if room < 0:
            raise ConnectionError("the server's flow-control window is used up")
        began[stream] = perf_counter()
        return _frame(_HEADERS, _END_HEADERS, stream, headers) + _frame(_DATA, _END_STREAM, stream, body)

    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        windows = _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, _MAX_WINDOW))
        windows += _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _MAX_WINDOW - _FIRST_WINDOW))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + windows)
        start = perf_counter()
        connection.sendall(b"".join(request() for _ in range(in_flight)))
        received = b""
        while began:
            received += connection.recv(1 << 18)
            now, at, replies = perf_counter(), 0, []
            while len(received) - at >= _HEADER_BYTES:
                end = at + _HEADER_BYTES + int.from_bytes(received[at : at + 3], "big")
                if end > len(received):
                    break
                kind, flags = received[at + 3], received[at + 4]
                stream, payload = (
                    int.from_bytes(received[at + 5 : at + _HEADER_BYTES], "big"),
                    received[at + _HEADER_BYTES : end],
                )
                at = end
                if kind == _HEADERS and flags & _END_STREAM:
                    calls.latencies.append(now - began.pop(stream))
                    if now - start < seconds:
                        replies.append(request())
                elif kind == _DATA:
                    calls.last = payload[5:]
                elif kind == _WINDOW_UPDATE and not stream:
                    room += int.from_bytes(payload, "big")
                elif kind in {_SETTINGS, _PING} and not flags & _ACK:
                    replies.append(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
                elif kind in {_RESET, _GO_AWAY}:
                    raise ConnectionError("the server reset a call or closed the connection")
            received = received[at:]
            if replies:
                connection.sendall(b"".join(replies))
        calls.seconds = perf_counter() - start
    return calls


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
