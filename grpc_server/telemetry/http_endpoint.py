"""`GET /metrics`, `GET /readyz` and `GET /livez` over HTTP, for Prometheus and for Kubernetes' probes.

Probes have this port and not that of the calls, because the number of connections there is bounded: whoever holds them
all would keep probes out, and the kubelet would restart the pod.

Pages are made on another thread, one at a time and with pauses between them, so that scrapers do not delay calls,
however many there are. A connection carries one request, of bounded size and time. The number of connections is
bounded, and a new one replaces one that has not sent a request yet: a slow or silent peer cannot keep a scraper or a
probe out.
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

METRICS: Final = "/metrics"
READY: Final = "/readyz"
"""200 while the server accepts work, 503 before and while it drains."""
LIVE: Final = "/livez"
"""200 while the process answers: neither load nor draining is a reason to restart it."""
MAX_CONNECTIONS: Final = 32
_HEAD_BYTES: Final = 8192
# Connections that wait to be accepted, some tenths of a second of them; over it, a peer tries again after a second.
_BACKLOG: Final = 1024
_PLAIN: Final = "text/plain; charset=utf-8"
# Pauses are this many times as long as making a page: pages take at most a tenth of a thread's time.
_PAUSE_FACTOR: Final = 9.0
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_RETRY_SECONDS: Final = 1.0


class HttpEndpoint:
    """A small HTTP server for metrics and health.

    Parameters
    ----------
    registry
        The metrics to serve.
    is_ready
        Returns whether the server accepts work.
    max_connections
        Connections at a time. A further one replaces the oldest without a request or, if all have sent theirs, the
        oldest.
    seconds
        Time limit of one connection.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        is_ready: Callable[[], bool],
        *,
        max_connections: int = MAX_CONNECTIONS,
        seconds: float = 10.0,
    ) -> None:
        self._pages = _Pages(registry)
        self._is_ready = is_ready
        self._max_connections = max_connections
        self._seconds = seconds
        self._listening: list[tuple[socket.socket, asyncio.Task[None]]] = []
        # Connections without a request, and with one; the oldest first.
        self._silent: dict[asyncio.StreamWriter, None] = {}
        self._requesting: dict[asyncio.StreamWriter, None] = {}
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
                f"cannot listen on {shown}:{port} for metrics and probes: the address is not this machine's or the "
                "port is taken; --metrics-port chooses another, --no-metrics does without"
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
        # Instead of asyncio's server, which logs a hundred tracebacks a second while no descriptor is free.
        loop = asyncio.get_running_loop()
        exhausted = False
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # the peer has left already
                if not exhausted:
                    log.warning("no metrics and no probes for now", extra={"reason": error.strerror})
                exhausted = True
                await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
            else:
                exhausted = False
                await self._accepted(connection)

    async def _accepted(self, connection: socket.socket) -> None:
        if len(self._silent) + len(self._requesting) >= self._max_connections:
            replaceable = self._silent or self._requesting
            oldest = next(iter(replaceable))
            del replaceable[oldest]
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
                    self._requesting[writer] = None
                writer.write(await self._answer(head))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("HTTP connection cut off", extra={"reason": type(error).__name__})
        finally:
            self._silent.pop(writer, None)
            self._requesting.pop(writer, None)
            # No effect on a closed connection; an open one would keep its unsent bytes without limit.
            writer.transport.abort()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        """Return the request up to its empty line, or no bytes if it is too long."""
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
        if path not in (METRICS, READY, LIVE):
            return _reply(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return _reply(HTTPStatus.METHOD_NOT_ALLOWED, extra="Allow: GET\r\n")
        if path != METRICS:
            return _reply(HTTPStatus.OK if path == LIVE or self._is_ready() else HTTPStatus.SERVICE_UNAVAILABLE)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        try:
            encode, content_type = choose_encoder(headers.get("accept", ""))
        except (TypeError, ValueError):  # raised by the library for a version that is not a number
            return _reply(HTTPStatus.BAD_REQUEST)
        try:
            return _reply(HTTPStatus.OK, await self._pages.get(encode, content_type), content_type)
        except Exception:
            log.exception("the metrics page could not be made")
            return _reply(HTTPStatus.INTERNAL_SERVER_ERROR)


class _Pages:
    """Makes pages, one at a time; requests of one kind that arrive while a page is being made share the next one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._turn = asyncio.Lock()
        self._free_at = 0.0
        self._next: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, encode: Callable[[CollectorRegistry], bytes], kind: str) -> bytes:
        """Return a page that was started after this call."""
        if kind not in self._next:
            self._next[kind] = asyncio.get_running_loop().create_task(self._make(encode, kind))
        # The first request may be cancelled; others still wait for the page.
        return await asyncio.shield(self._next[kind])

    async def _make(self, encode: Callable[[CollectorRegistry], bytes], kind: str) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(self._free_at - loop.time())
            del self._next[kind]
            started = loop.time()
            try:
                return await on_daemon_thread("metrics-page", lambda: encode(self._registry))
            finally:
                self._free_at = loop.time() + _PAUSE_FACTOR * (loop.time() - started)


def _reply(status: HTTPStatus, body: bytes | None = None, content_type: str = _PLAIN, extra: str = "") -> bytes:
    if body is None:
        body = f"{status.phrase}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n".encode("latin-1") + body
