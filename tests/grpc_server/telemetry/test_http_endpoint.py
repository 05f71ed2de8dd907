"""The endpoint answers scrapers, is bounded in what it gives to others, and says clearly why it cannot listen."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grpc_server.errors import StartupError
from grpc_server.telemetry.http_endpoint import HttpEndpoint

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("seen", "Things seen.", registry=registry).inc(3)
    return registry


@asynccontextmanager
async def listening(
    registry: CollectorRegistry, *, max_connections: int = 32, seconds: float = 10
) -> AsyncIterator[tuple[HttpEndpoint, int]]:
    endpoint = HttpEndpoint(registry, lambda: True, max_connections=max_connections, seconds=seconds)
    address = await endpoint.listen("127.0.0.1", 0)
    try:
        yield endpoint, int(address.removeprefix("127.0.0.1:"))
    finally:
        await endpoint.close()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


def status(answer: bytes) -> str:
    return answer.split(b"\r\n", 1)[0].decode()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GET, "HTTP/1.1 200 OK"),
        (b"GET /metrics?debug=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        (b"nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET //[ HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (
            b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=a.b\r\n\r\n",
            "HTTP/1.1 400 Bad Request",
        ),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"),
    ],
)
async def test_only_a_get_of_metrics_is_answered(registry: CollectorRegistry, request_: bytes, expected: str) -> None:
    async with listening(registry) as (_, port):
        assert status(await ask(port, request_)) == expected


async def test_the_format_is_the_one_that_the_scraper_accepts(registry: CollectorRegistry) -> None:
    async with listening(registry) as (_, port):
        plain = await ask(port, GET)
        accept = b"Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"
        openmetrics = await ask(port, b"GET /metrics HTTP/1.1\r\n" + accept + b"\r\n")
    assert b"seen_total 3.0\n" in plain
    assert b"# EOF" not in plain
    assert b"application/openmetrics-text" in openmetrics
    assert openmetrics.endswith(b"# EOF\n")


async def test_a_connection_without_a_request_is_closed(registry: CollectorRegistry) -> None:
    async with listening(registry, seconds=0.05) as (_, port):
        assert await ask(port, b"GET /metrics HT") == b""


class Wide(Collector):
    """More than the buffers between two sockets hold."""

    size = 50_000_000

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("wide", "x" * self.size, value=1)


async def test_a_scraper_that_does_not_read_is_cut_off() -> None:
    registry = CollectorRegistry()
    registry.register(Wide())
    async with listening(registry, seconds=3) as (endpoint, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert status(await ask(port, b"GET / HTTP/1.1\r\n\r\n")) == "HTTP/1.1 404 Not Found"
        await asyncio.wait(endpoint._connections)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await reader.readexactly(Wide.size)
        writer.close()


async def test_connections_that_ask_nothing_keep_no_scraper_out(registry: CollectorRegistry) -> None:
    async with listening(registry, max_connections=2) as (_, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        silent[1][1].write(b"GET /metrics HTTP/1.1\r\nX: ")  # and never goes on
        for _ in range(3):
            assert status(await ask(port, GET)) == "HTTP/1.1 200 OK"
        with suppress(ConnectionError):
            assert await silent[0][0].read() == b""  # it made room, being the oldest
        for _, writer in silent:
            writer.close()


class Slow(Collector):
    """Takes until it is let go, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = threading.Event()
        self.go = threading.Event()

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        self.asked += 1
        self.begun.set()
        self.go.wait()
        yield GaugeMetricFamily("asked", "Times.", value=self.asked)


async def test_many_scrapers_share_pages() -> None:
    slow, registry = Slow(), CollectorRegistry()
    registry.register(slow)
    async with listening(registry) as (endpoint, port):
        first = asyncio.ensure_future(ask(port, GET))
        await asyncio.to_thread(slow.begun.wait)
        asked = slow.asked
        others = [asyncio.ensure_future(ask(port, GET)) for _ in range(9)]
        while len(endpoint._requesting) < 10:
            await asyncio.sleep(0.001)
        slow.go.set()
        pages = [await page for page in (first, *others)]
    assert slow.asked == asked + 1
    # Who came while the first page was made got one that was begun after it had asked.
    assert f"asked {asked}.0".encode() in pages[0]
    assert all(f"asked {asked + 1}.0".encode() in page for page in pages[1:])


async def test_a_page_that_cannot_be_made_is_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("fine", "So far.", value=1)
            raise ZeroDivisionError

    registry = CollectorRegistry(auto_describe=False)
    broken = Broken()
    broken.describe = list  # type: ignore[attr-defined]  # what a registry asks for first
    registry.register(broken)
    async with listening(registry) as (_, port):
        assert status(await ask(port, GET)) == "HTTP/1.1 500 Internal Server Error"
    assert "the metrics page could not be made" in caplog.text


async def test_a_taken_port_is_one_clear_sentence(registry: CollectorRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            StartupError, match=rf"cannot listen on 127\.0\.0\.1:{port} for metrics and probes: .* --no-metrics"
        ):
            await HttpEndpoint(registry, lambda: True).listen("127.0.0.1", port)


async def test_close_cuts_off_who_is_still_connected(registry: CollectorRegistry) -> None:
    async with listening(registry) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET[:5])
        assert status(await ask(port, GET)) == "HTTP/1.1 200 OK"
    assert await reader.read() == b""
    writer.close()
