"""Admission control of calls that are malformed, slow, too large or too many."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import h2.events
import pytest

from grpc_server.errors import UnavailableError
from grpc_server.transport.admission import AdmissionLimits
from grpc_server.transport.limits import MemoryBudget, ReceiveSlots
from relevance_model import RequestError
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.admitted_server import admitted_server
from tests.support.grpc_calls import Health, bidi_stream, refused, server_stream, unary
from tests.support.raw_http2 import METHODS, SCORE, SCORE_BATCH, RawPeer, call, message
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
EXHAUSTED = str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
INVALID = str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
LATE = str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
UNAVAILABLE = str(grpc.StatusCode.UNAVAILABLE.value[0])


@pytest.mark.parametrize("method", [method for method in METHODS if "no.such" not in method])
@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05ab"], ids=["junk", "cut off"])
def test_bytes_that_are_not_the_message_are_the_callers_mistake(
    server: ServerProcess, method: str, body: bytes
) -> None:
    assert call(server.socket_address, method, message(body)) == INVALID


@pytest.mark.parametrize("method", [SCORE, SCORE_BATCH])
def test_text_that_is_no_utf8_is_the_callers_mistake(server: ServerProcess, method: str) -> None:
    assert call(server.socket_address, method, message(b"\x0a\x02\xff\xfe")) == INVALID


def test_a_call_that_ends_without_a_message_is_the_callers_mistake(server: ServerProcess) -> None:
    assert call(server.socket_address, SCORE, b"") == INVALID


def test_a_message_that_does_not_come_in_time_is_cancelled(start_server: StartServer) -> None:
    server = start_server("--arrival-seconds", "0.3")
    for method in (SCORE, "/grpc.health.v1.Health/Check"):
        with RawPeer(server.socket_address) as peer:
            stream = peer.start(method)
            peer.send(stream, message(b"a", length=1000))
            assert peer.status(stream, 10) == LATE


def test_slow_messages_do_not_keep_others_out(start_server: StartServer) -> None:
    server = start_server("--max-arriving", "2", "--arrival-seconds", "60")
    with RawPeer(server.socket_address) as peer:
        streams = [peer.start(SCORE_BATCH) for _ in range(8)]
        for stream in streams:
            peer.send(stream, message(b"a", length=1000))
        with server.channel() as channel:
            stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
            for _ in range(3):
                assert stub.Score(pb.ScoreRequest(query="a", titles=["b"])).results
        assert peer.status(streams[0], 10) == LATE


def test_requests_over_the_byte_budget_get_pushback_and_probes_do_not(start_server: StartServer) -> None:
    server = start_server("--max-message-bytes", "100000", "--max-inflight-bytes", "200000", "--arrival-seconds", "60")
    with RawPeer(server.socket_address) as peer:
        streams = [peer.start(SCORE_BATCH) for _ in range(7)]
        assert peer.status(streams[-1], 10) == UNAVAILABLE
        with server.channel() as channel:
            assert Health(channel).check() == 1
            stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
            error = refused(lambda: stub.Score(pb.ScoreRequest(query="a", titles=["b"])))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert ("grpc-retry-pushback-ms", "500") in tuple(error.trailing_metadata())


TAKE_TEXTS = ("Score", "Infer", "Explain")


@pytest.mark.parametrize(
    ("method", "most"),
    [(method, None if any(word in method for word in TAKE_TEXTS) else 1024) for method in METHODS[:-1]],
)
def test_methods_without_texts_take_small_messages_only(server: ServerProcess, method: str, most: int | None) -> None:
    unknown_field = b"\x7a\xfd\xff\x03" + bytes(65533)
    status = call(server.socket_address, method, message(unknown_field))
    assert (status == EXHAUSTED) is (most is not None)
    if most is not None:
        assert call(server.socket_address, method, message(b"\x7a\xfd\x07" + bytes(most - 3))) != EXHAUSTED


class Message:
    """A message that counts how many of its kind are referenced."""

    alive = 0

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        Message.alive += 1

    def __del__(self) -> None:
        Message.alive -= 1


class WatchedBudget(MemoryBudget):
    """Notes for each time that it gets something back how many messages were alive."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.alive: list[int] = []

    def give_back(self, count: int) -> None:
        if count:
            self.alive.append(Message.alive)
        super().give_back(count)


@pytest.mark.parametrize("kind", ["raises", "raises_from", "streams", "awaits"])
async def test_a_refused_message_is_freed_before_its_memory_is_given_back(kind: str) -> None:
    async def raises(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        raise RequestError("field", "is not to our taste")

    async def raises_from(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        try:
            int(request.raw)
        except ValueError:
            raise RequestError("field", "is no number") from None
        return b""

    async def streams(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        yield b"first"
        raise KeyError(len(request.raw))

    async def awaits(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        async def inner(kept: Message) -> bytes:
            raise UnavailableError(f"{len(kept.raw)} bytes are too many", 1.0)

        return await inner(request)

    behaviour = {"raises": raises, "raises_from": raises_from, "streams": streams, "awaits": awaits}[kind]
    budget = WatchedBudget(1 << 20)
    name = {"streams": "many"}.get(kind, "one")
    gc.disable()
    try:
        async with serving(AdmissionLimits(budget, ReceiveSlots(4, 10)), Message, **{name: behaviour}) as channel:
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError):
                    if name == "many":
                        _ = [answer async for answer in server_stream(channel, "/test/many")(b"x" * 1000)]
                    else:
                        await unary(channel, "/test/one")(b"x" * 1000)
    finally:
        gc.enable()
    assert len(budget.alive) >= 3
    assert set(budget.alive) == {0}


def test_answers_that_are_not_read_count_against_the_budget(start_server: StartServer) -> None:
    server = start_server("--max-message-bytes", "100000", "--max-inflight-bytes", "200000")
    request = pb.ScoreRequest(query="a", titles=["b"])
    with RawPeer(server.socket_address) as peer:
        peer.http2.update_settings({4: 0})  # no window: the server may send no answer
        peer.flush()
        # Six calls of 32 KiB fit; their headers, which need no window, say that they are answered.
        waiting = {peer.start(SCORE) for _ in range(6)}
        for stream in waiting:
            peer.send(stream, message(request.SerializeToString()), end=True)
        while waiting:
            waiting -= {event.stream_id for event in peer.receive() if isinstance(event, h2.events.ResponseReceived)}
        with server.channel() as channel:
            stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as error:
                stub.Score(request)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            peer.socket.close()
            while not answers(stub, request):
                pass


def test_headers_are_charged_by_their_number(start_server: StartServer) -> None:
    server = start_server("--max-message-bytes", "100000", "--max-inflight-bytes", "200000", "--arrival-seconds", "60")
    with RawPeer(server.socket_address) as peer:
        peer.start(SCORE, [("a", "")] * 400)
        assert peer.status(peer.start(SCORE, [("a", "")] * 400), 10) == UNAVAILABLE


def answers(stub: relevance_pb2_grpc.RelevanceServiceStub, request: pb.ScoreRequest) -> bool:
    try:
        return bool(stub.Score(request).results)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return False


@asynccontextmanager
async def serving(
    limits: AdmissionLimits | None = None, parse: Callable[[bytes], Any] = bytes, **behaviours: Callable[..., Any]
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve methods of our own behind admission control."""
    limits = limits or AdmissionLimits(MemoryBudget(1 << 20), ReceiveSlots(4, 10))
    server = admitted_server(limits=limits)
    makers = {"one": grpc.unary_unary_rpc_method_handler, "many": grpc.unary_stream_rpc_method_handler}
    makers |= {"wrong": grpc.unary_unary_rpc_method_handler, "echo": grpc.stream_stream_rpc_method_handler}
    handlers = {name: makers[name](behaviour, parse, bytes) for name, behaviour in behaviours.items()}
    server.add_registered_method_handlers("test", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        await server.stop(10)
        assert limits.budget.taken == 0
    finally:
        await server.stop(0)


async def test_what_a_method_raises_never_reaches_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    async def one(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        raise KeyError(f"the secret is {request!r}")

    async def many(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        yield b"first"
        raise KeyError(f"the secret is {request!r}")

    async def wrong(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return "secret, and no bytes"  # type: ignore[return-value]

    async with serving(one=one, many=many, wrong=wrong) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as from_one:
            await unary(channel, "/test/one")(b"x", metadata=[("x-request-id", "night-7")])
        with pytest.raises(grpc.aio.AioRpcError) as from_many:
            _ = [answer async for answer in server_stream(channel, "/test/many")(b"x")]
        with pytest.raises(grpc.aio.AioRpcError) as from_wrong:
            await unary(channel, "/test/wrong")(b"x")
    for error in (from_one.value, from_many.value, from_wrong.value):
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(error)
        assert ("x-fault", "service") in tuple(error.trailing_metadata() or ())
        assert "Error" not in str(error.details())
    assert "night-7" in str(from_one.value.details())
    assert "the secret is b'x'" in caplog.text


async def test_every_kind_of_method_works_behind_admission_control() -> None:
    async def one(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return request.upper()

    async def many(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        for letter in request:
            await context.write(bytes([letter]))

    async def echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async with serving(one=one, many=many, echo=echo) as channel:
        assert await unary(channel, "/test/one")(b"ab") == b"AB"
        assert [answer async for answer in server_stream(channel, "/test/many")(b"ab")] == [b"a", b"b"]
        assert [answer async for answer in bidi_stream(channel, "/test/echo")(iter([b"a", b"b"]))] == [b"a", b"b"]
