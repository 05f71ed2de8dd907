"""`GET /metrics` over HTTP, and nothing else.

Pages are made on another thread, one at a time and with pauses between them, so that calls do not wait for them however
many scrapers there are. A connection has one request, a bounded head and a bounded time. There are few of them, and a
new one takes the place of one that has asked nothing yet: neither a slow scraper nor one that is silent can keep
another out.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from grpc_server.errors import StartupError
from qtr_runtime.daemon_thread import on_daemon_thread

log = logging.getLogger(__name__)

PATH: Final = "/metrics"
MOST_CONNECTIONS: Final = 32
_HEAD_BYTES: Final = 8192
_BACKLOG: Final = 128
_PLAIN: Final = "text/plain; charset=utf-8"
# Making pages takes a tenth of a thread's time at most.
_PAUSE_PER_SECOND: Final = 9.0
_NOTHING_LEFT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_AGAIN_SECONDS: Final = 1.0


class MetricsEndpoint:
    """A small HTTP server for one registry.

    Parameters
    ----------
    registry
        What is shown.
    most_connections
        Connections at a time; a further one takes the place of the oldest that has asked nothing yet or, if each has
        asked, of the oldest.
    seconds
        How long one connection may take from its start to its end.
    """

    def __init__(
        self, registry: CollectorRegistry, *, most_connections: int = MOST_CONNECTIONS, seconds: float = 10.0
    ) -> None:
        self._pages = _Pages(registry)
        self._most_connections = most_connections
        self._seconds = seconds
        self._listening: list[tuple[socket.socket, asyncio.Task[None]]] = []
        # The oldest first.
        self._silent: dict[asyncio.StreamWriter, None] = {}
        self._asking: dict[asyncio.StreamWriter, None] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> str:
        """Listen, on a free port if `port` is 0, and return `host:port`.

        Raises
        ------
        StartupError
            If the address cannot be bound.
        """
        shown = f"[{host}]" if ":" in host else host
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
                listener.setblocking(False)
                self._listening.append((listener, loop.create_task(self._accept(listener))))
        except OSError:
            raise StartupError(
                f"cannot listen on {shown}:{port} for metrics: the address is not this machine's or the port is taken; "
                "--metrics-port chooses another, --no-metrics does without"
            ) from None
        return f"{shown}:{self._listening[0][0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and cut off what is still connected."""
        for _, accepting in self._listening:
            accepting.cancel()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*(task for _, task in self._listening), *self._connections, return_exceptions=True)
        for listener, _ in self._listening:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        # Not by asyncio's own server: without a free descriptor it logs a hundred tracebacks a second.
        loop = asyncio.get_running_loop()
        short = False
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _NOTHING_LEFT:
                    continue  # this one peer has left already
                if not short:
                    log.warning("no metrics for now", extra={"reason": error.strerror})
                short = True
                await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
            else:
                short = False
                await self._take_in(connection)

    async def _take_in(self, connection: socket.socket) -> None:
        if len(self._silent) + len(self._asking) >= self._most_connections:
            places = self._silent or self._asking
            oldest = next(iter(places))
            del places[oldest]
            oldest.transport.abort()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_HEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._silent[writer] = None
        task = loop.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                head = await self._head(reader)
                if writer in self._silent:
                    del self._silent[writer]
                    self._asking[writer] = None
                writer.write(await self._answer(head))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("metrics connection cut off", extra={"reason": type(error).__name__})
        finally:
            self._silent.pop(writer, None)
            self._asking.pop(writer, None)
            # Without effect on a connection that closed; one that did not would keep its unsent bytes for ever.
            writer.transport.abort()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        """Return the request up to its empty line, or nothing if it is too long."""
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return b""

    async def _answer(self, head: bytes) -> bytes:
        if not head:
            return _reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        request_line, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, _ = request_line.split(" ")
            path = urlsplit(target).path
        except ValueError:
            return _reply(HTTPStatus.BAD_REQUEST)
        if path != PATH:
            return _reply(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return _reply(HTTPStatus.METHOD_NOT_ALLOWED, extra="Allow: GET\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        try:
            encode, content_type = choose_encoder(headers.get("accept", ""))
        except (TypeError, ValueError):  # what the library makes of a version that is no number
            return _reply(HTTPStatus.BAD_REQUEST)
        try:
            return _reply(HTTPStatus.OK, await self._pages.get(encode, content_type), content_type)
        except Exception:
            log.exception("the metrics page could not be made")
            return _reply(HTTPStatus.INTERNAL_SERVER_ERROR)


class _Pages:
    """Makes pages, one at a time; those who ask for the same kind while another page is made share the next one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()
        self._free_at = 0.0
        self._next: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, encode: Callable[[CollectorRegistry], bytes], kind: str) -> bytes:
        """Return a page that was begun after this call."""
        if kind not in self._next:
            self._next[kind] = asyncio.get_running_loop().create_task(self._make(encode, kind))
        # Whoever asked first may leave; the others still want it.
        return await asyncio.shield(self._next[kind])

    async def _make(self, encode: Callable[[CollectorRegistry], bytes], kind: str) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            del self._next[kind]
            begun = loop.time()
            try:
                return await on_daemon_thread("metrics-page", lambda: encode(self._registry))
            finally:
                self._free_at = loop.time() + _PAUSE_PER_SECOND * (loop.time() - begun)


def _reply(status: HTTPStatus, body: bytes | None = None, content_type: str = _PLAIN, extra: str = "") -> bytes:
    if body is None:
        body = f"{status.phrase}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n".encode("latin-1") + body
