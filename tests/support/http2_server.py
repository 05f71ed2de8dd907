"""A server that writes HTTP/2 by hand: it ends calls as gRPC, a proxy or a broken peer does, then answers well."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from tests.support.scripted_server import score_of

Headers = list[tuple[str, str]]
# Ends one call in its way; false if the connection is to be closed.
Ending = Callable[[h2.connection.H2Connection, int], bool]


def trailers_only(*trailers: tuple[str, str], status: int = 200, content: str = "application/grpc") -> Ending:
    """End a call by headers alone, as a refusal of gRPC or of a proxy does."""

    def end(http2: h2.connection.H2Connection, stream: int) -> bool:
        headers = [(":status", str(status)), ("content-type", content), *trailers]
        http2.send_headers(stream, headers, end_stream=True)
        return True

    return end


def reset(error_code: int) -> Ending:
    """End a call by RST_STREAM."""

    def end(http2: h2.connection.H2Connection, stream: int) -> bool:
        http2.reset_stream(stream, error_code)
        return True

    return end


def go_away(error_code: int) -> Ending:
    """End a call by GOAWAY, as if it had never been seen, and close."""

    def end(http2: h2.connection.H2Connection, stream: int) -> bool:
        http2.close_connection(error_code, last_stream_id=max(0, stream - 2))
        return False

    return end


def hang_up(http2: h2.connection.H2Connection, stream: int) -> bool:
    """End a call by closing the connection without a word."""
    return False


class Http2Server:
    """Listen on entry. Each `ScoreBatch` call takes the next of `endings`, and is answered well when none is left.

    Attributes
    ----------
    rows
        Of each `ScoreBatch` call that came, in their order.
    """

    def __init__(self, *endings: Ending) -> None:
        self._endings = list(endings)
        self._lock = threading.Lock()
        self.rows: list[int] = []

    def __enter__(self) -> Http2Server:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        )
        http2.initiate_connection()
        paths: dict[int, str] = {}
        bodies: dict[int, bytes] = {}
        goes_on = True
        with connection, suppress(OSError, h2.exceptions.H2Error):
            connection.sendall(http2.data_to_send())
            while goes_on and (data := connection.recv(65536)):
                for event in http2.receive_data(data):
                    match event:
                        case h2.events.RequestReceived(stream_id=stream, headers=headers):
                            paths[stream] = next(str(value) for name, value in headers if str(name) == ":path")
                            bodies[stream] = b""
                        case h2.events.DataReceived(stream_id=stream, data=more, flow_controlled_length=length):
                            bodies[stream] += more
                            http2.acknowledge_received_data(length, stream)
                        case h2.events.StreamEnded(stream_id=stream):
                            goes_on = goes_on and self._answer(http2, stream, paths[stream], bodies[stream])
                connection.sendall(http2.data_to_send())

    def _answer(self, http2: h2.connection.H2Connection, stream: int, path: str, body: bytes) -> bool:
        if not path.endswith("/ScoreBatch"):
            return trailers_only(("grpc-status", "12"))(http2, stream)  # no health service: taken for healthy
        request = pb.ScoreBatchRequest.FromString(body[5:])
        with self._lock:
            self.rows.append(len(request.queries))
            ending = self._endings.pop(0) if self._endings else None
        if ending is not None:
            return ending(http2, stream)
        scores = [score_of(*pair) for pair in zip(request.queries, request.titles, strict=True)]
        answer = pb.ScoreBatchResponse(
            scores=scores, labels=[0] * len(scores), model=pb.ModelVersion(name="by hand", version="1")
        ).SerializeToString()
        http2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        http2.send_data(stream, struct.pack(">BI", 0, len(answer)) + answer)
        http2.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        return True
