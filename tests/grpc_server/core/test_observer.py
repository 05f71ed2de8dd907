"""However a call ends, the observer hears of its start and of the status that the caller got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grpc_server.api.health import HealthServicer
from grpc_server.core.observer import CallEnded, CallStarted, Metadata, Method, Observers
from grpc_server.errors import DrainingError, LaneFullError, ModelNotServedError
from tests.support.admitted_server import admitted_server
from tests.support.grpc_calls import bidi_stream, server_stream, unary

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass
class Ears(Observers):
    """Hears everything and lets a test wait for it."""

    started: list[tuple[Method, Metadata]] = field(default_factory=list)
    ended: list[tuple[str, str, str | None]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def method_served(self, method: Method) -> CallStarted:
        def started(metadata: Metadata) -> CallEnded:
            self.started.append((method, metadata))
            self.changed.set()

            def ended(code: str, reason: str | None) -> None:
                self.ended.append((method.name, code, reason))
                self.changed.set()

            return ended

        return started

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.changed.clear()
            await self.changed.wait()


async def answer(request: bytes, context: Context) -> bytes:
    return b"yes"


async def abort(request: bytes, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")


async def full(request: bytes, context: Context) -> bytes:
    raise LaneFullError("full", 0.0)


async def draining(request: bytes, context: Context) -> bytes:
    raise DrainingError("draining", 0.0)


async def unknown_model(request: bytes, context: Context) -> bytes:
    raise ModelNotServedError("no such model")


async def unavailable(request: bytes, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "who knows why")


async def set_status(request: bytes, context: Context) -> bytes:
    context.set_code(grpc.StatusCode.NOT_FOUND)
    return b""


async def fail(request: bytes, context: Context) -> bytes:
    raise RuntimeError("a bug")


async def wait(request: bytes, context: Context) -> bytes:
    await asyncio.Event().wait()
    return b""


async def count(request: bytes, context: Context) -> AsyncIterator[bytes]:
    for number in range(3):
        yield bytes([number])


async def break_off(request: bytes, context: Context) -> AsyncIterator[bytes]:
    yield b"first"
    await context.abort(grpc.StatusCode.DATA_LOSS, "gone")


async def echo(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


UNARY = (answer, abort, full, draining, unknown_model, unavailable, set_status, fail, wait)


@pytest.fixture
async def ears() -> Ears:
    return Ears()


@pytest.fixture
async def channel(ears: Ears) -> AsyncIterator[grpc.aio.Channel]:
    server = admitted_server(ears)

    def as_is(message: bytes) -> bytes:
        return message

    handlers = {each.__name__: grpc.unary_unary_rpc_method_handler(each, as_is, as_is) for each in UNARY}
    handlers |= {each.__name__: grpc.unary_stream_rpc_method_handler(each, as_is, as_is) for each in (count, break_off)}
    handlers["echo"] = grpc.stream_stream_rpc_method_handler(echo, as_is, as_is)
    server.add_registered_method_handlers("test.Service", handlers)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def outcome(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        ("answer", "OK", None),
        ("abort", "INVALID_ARGUMENT", "invalid"),
        ("full", "UNAVAILABLE", "lane_full"),
        ("draining", "UNAVAILABLE", "draining"),
        ("unavailable", "UNAVAILABLE", "unavailable"),
        ("set_status", "NOT_FOUND", "unknown_model"),
        ("unknown_model", "NOT_FOUND", "unknown_model"),
        ("fail", "INTERNAL", "internal"),
    ],
)
async def test_the_observer_hears_what_the_caller_sees(
    ears: Ears, channel: grpc.aio.Channel, method: str, code: str, reason: str | None
) -> None:
    seen = await outcome(unary(channel, f"/test.Service/{method}")(b"", metadata=[("x-request-id", "night-7")]))
    await ears.until(lambda: bool(ears.ended))
    [(called, metadata)] = ears.started
    assert called == Method("unary", "test.Service", method)
    assert ("x-request-id", "night-7") in metadata
    assert ears.ended == [(method, code, reason)]
    assert seen == code


async def test_a_cancelled_call_is_not_counted_as_a_deadline(ears: Ears, channel: grpc.aio.Channel) -> None:
    method = unary(channel, "/test.Service/wait")
    leaving = method(b"", timeout=600)
    await ears.until(lambda: len(ears.started) == 1)
    leaving.cancel()
    await ears.until(lambda: len(ears.ended) == 1)
    assert await outcome(method(b"", timeout=0.05)) == "DEADLINE_EXCEEDED"
    await ears.until(lambda: len(ears.ended) == 2)
    assert ears.ended == [("wait", "CANCELLED", "cancelled"), ("wait", "DEADLINE_EXCEEDED", "deadline")]


async def test_streams_pass_through_and_end_once(ears: Ears, channel: grpc.aio.Channel) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            yield bytes([number])

    assert [each async for each in server_stream(channel, "/test.Service/count")(b"")] == [b"\0", b"\1", b"\2"]
    assert [each async for each in bidi_stream(channel, "/test.Service/echo")(numbers())] == [b"\0", b"\1", b"\2"]
    broken = server_stream(channel, "/test.Service/break_off")(b"")
    assert await broken.read() == b"first"
    assert await outcome(broken.read()) == "DATA_LOSS"
    await ears.until(lambda: len(ears.ended) == 3)
    assert [method.kind for method, _ in ears.started] == ["server_stream", "bidi_stream", "server_stream"]
    assert [end[1] for end in ears.ended] == ["OK", "OK", "DATA_LOSS"]


async def test_a_watch_that_the_client_drops_ends_as_cancelled(ears: Ears, channel: grpc.aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    await watch.read()
    assert ears.ended == []
    watch.cancel()
    await ears.until(lambda: bool(ears.ended))
    assert ears.started[0][0].kind == "server_stream"
    assert ears.ended == [("Watch", "CANCELLED", "cancelled")]


async def test_a_caller_cannot_create_label_values(ears: Ears, channel: grpc.aio.Channel) -> None:
    for number in range(3):
        assert await outcome(unary(channel, f"/made.up/{number}")(b"")) == "UNIMPLEMENTED"
    assert {(method.service, method.name) for method, _ in ears.started} == {("unknown", "unknown")}
    assert ears.ended == [("unknown", "UNIMPLEMENTED", None)] * 3


@dataclass
class Faulty(Ears):
    """Breaks at every opportunity."""

    def method_served(self, method: Method) -> CallStarted:
        started = super().method_served(method)

        def broken(metadata: Metadata) -> CallEnded:
            started(metadata)
            raise RuntimeError("no room for another series")

        return broken


async def test_an_observer_that_breaks_harms_neither_the_call_nor_another_observer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty, ears = Faulty(), Ears()
    started = Observers(faulty, ears).method_served(Method("unary", "test.Service", "answer"))
    for _ in range(3):
        started(())("OK", None)
    assert len(faulty.started) == 3
    assert ears.ended == [("answer", "OK", None)] * 3
    assert [record.message for record in caplog.records] == ["an observer failed; metrics or traces are incomplete"]
