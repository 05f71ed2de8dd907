"""``GET /metrics`` over HTTP, and nothing else.

A scrape is rendered on another thread, so that calls do not wait for it. A connection has one request, a bounded head
and a bounded time, and there are few of them: a scraper that is slow, or no scraper at all, cannot hold the service up.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from grpc_server.errors import StartupError

log = logging.getLogger(__name__)

PATH = "/metrics"
_HEAD_BYTES = 8192
_PLAIN = "text/plain; charset=utf-8"


class MetricsEndpoint:
    """A small HTTP server for one registry.

    Parameters
    ----------
    registry
        What is shown.
    most_connections
        Connections at a time; further ones are told 503.
    seconds
        How long one connection may take from its start to its end.
    """

    def __init__(self, registry: CollectorRegistry, *, most_connections: int = 8, seconds: float = 10.0) -> None:
        self._registry = registry
        self._most_connections = most_connections
        self._seconds = seconds
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> str:
        """Listen, on a free port if ``port`` is 0, and return ``host:port``.

        Raises
        ------
        StartupError
            If the address cannot be bound.
        """
        shown = f"[{host}]" if ":" in host else host
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=_HEAD_BYTES)
        except OSError:
            raise StartupError(
                f"cannot listen on {shown}:{port} for metrics: the address is not this machine's or the port is taken; "
                "--metrics-port chooses another, --no-metrics does without"
            ) from None
        return f"{shown}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stop listening and cut off what is still connected."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._most_connections:
            writer.write(_reply(HTTPStatus.SERVICE_UNAVAILABLE))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                writer.write(await self._answer(reader))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("metrics connection cut off", extra={"reason": type(error).__name__})
        finally:
            # Without effect on a connection that closed; one that did not would keep its unsent bytes for ever.
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
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
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return _reply(HTTPStatus.OK, await asyncio.to_thread(encode, self._registry), content_type)


def _reply(status: HTTPStatus, body: bytes | None = None, content_type: str = _PLAIN, extra: str = "") -> bytes:
    if body is None:
        body = f"{status.phrase}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n".encode("latin-1") + body
