"""The one way in for every call of every service: who is it, is there room, does its message come, what if it breaks.

gRPC hands a unary call to its method only when the whole message is there: a stranger could make the server take in
megabytes before being shown the door. So each method is offered to gRPC as one that reads its requests itself (on the
wire there is no difference), and they are read here, after the caller and the room have been looked at.

What can be done once a method is done when it is added, and nothing is wrapped in anything when a call comes: a single
pair costs little more than the call that brings it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isasyncgen
from traceback import clear_frames
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio

from grpc_server.core.observer import UNKNOWN_METHOD, CallEnded, CallStarted, Method, Observer
from grpc_server.errors import MessageSizeError
from grpc_server.transport.auth import Callers
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.call import Call
from grpc_server.transport.health_admission import HealthAdmission
from grpc_server.transport.limits import SMALL_MESSAGE_BYTES, Holding, MemoryBudget, ReceiveSlots
from grpc_server.transport.rejections import RejectionLog
from grpc_server.transport.status import reason_for, to_status
from grpc_server.transport.wire import ValueBound
from relevance_model import RequestError

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

HEALTH = "grpc.health.v1.Health"
# By whether requests and responses are streams; a stream of requests with one answer is in none of the contracts.
_KINDS = {(False, False): "unary", (False, True): "server_stream", (True, True): "bidi_stream"}


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What calls of one kind share: a budget for those taken in, and places for messages on their way."""

    budget: MemoryBudget
    arrivals: ReceiveSlots

    def budget_for(self, call: Call) -> MemoryBudget:  # noqa: ARG002
        """Return the budget that `call` takes from."""
        return self.budget


class AdmissionController:
    """Takes services as a gRPC server does, and offers their methods to that server behind the same door.

    It tells the observer of every call: its start, and the status it ended with however it ended. One status is not
    seen: gRPC itself tells the caller of a message over the size limit, RESOURCE_EXHAUSTED, and shows the server a call
    that ends without a message.

    Parameters
    ----------
    server
        Not started yet.
    callers
        Who may call.
    work
        Room for every call but the health checks.
    checks, watches
        Room for health checks, and for streams of them. They need no token, or every probe would have to hold one; and
        checks must be answered when the other rooms are full, so they have one of their own.
    observer
        Told of every call.
    texts
        By full name (`package.Service/Method`) the methods whose messages hold texts, and how many values those may
        have; they may be as large as the port takes. All others may have `SMALL_MESSAGE_BYTES`.
    backlog
        Refuses calls while too many wait in gRPC; `None` if nobody counts them. Health checks are never refused by it.

    Attributes
    ----------
    refusals
        Tells the log of the calls that were refused.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        callers: Callers,
        *,
        work: AdmissionLimits,
        checks: AdmissionLimits | HealthAdmission,
        watches: AdmissionLimits | HealthAdmission,
        observer: Observer,
        texts: Mapping[str, ValueBound] = MappingProxyType({}),
        backlog: Backlog | None = None,
    ) -> None:
        self._server = server
        self._callers = callers
        self._work = work
        self._checks = checks
        self._watches = watches
        self._observer = observer
        self._texts = texts
        self._check_backlog = _nothing if backlog is None else backlog.check
        self.refusals = RejectionLog()
        server.add_generic_rpc_handlers((_UnknownMethods(observer),))

    @property
    def services(self) -> grpc.aio.Server:
        """What generated code adds services to; it has nothing else of a server."""
        return cast(grpc.aio.Server, self)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Do nothing: generated code offers each method in this form as well as in the next."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Offer the methods of `service`."""
        callers = Callers() if service == HEALTH else self._callers
        doors = {}
        for name, handler in handlers.items():
            method = Method(_KINDS[handler.request_streaming, handler.response_streaming], service, name)
            started = self._observer.method_served(method)
            values = self._texts.get(f"{service}/{name}")
            room: AdmissionLimits | HealthAdmission = self._work
            check = self._check_backlog
            if service == HEALTH:
                room = self._watches if handler.response_streaming else self._checks
                check = _nothing
            door = _MethodHandler(
                name, handler, room, callers, values, check_backlog=check, refusals=self.refusals, started=started
            )
            doors[name] = door.handler()
        self._server.add_registered_method_handlers(service, doors)


class _UnknownMethods(grpc.GenericRpcHandler):
    """Asked for a method that no service has: takes note of the call, which gRPC answers with UNIMPLEMENTED."""

    def __init__(self, observer: Observer) -> None:
        self._started = observer.method_served(UNKNOWN_METHOD)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:  # noqa: ARG002
        """Take note."""
        self._started(())(grpc.StatusCode.UNIMPLEMENTED.name, None)


class _MethodHandler:
    """The way to one method."""

    def __init__(
        self,
        name: str,
        handler: Any,
        room: AdmissionLimits | HealthAdmission,
        callers: Callers,
        values: ValueBound | None,
        *,
        check_backlog: Callable[[], None],
        refusals: RejectionLog,
        started: CallStarted,
    ):
        self._name = name
        self._values = values
        self._request_streaming, self._response_streaming = handler.request_streaming, handler.response_streaming
        self._behaviour = handler.unary_unary or handler.unary_stream or handler.stream_stream
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._budget_for = room.budget_for
        self._arrivals = room.arrivals
        self._callers = callers
        self._check_backlog = check_backlog
        self._refusals = refusals
        self._started = started

    def handler(self) -> Handler:
        """Return the handler that gRPC sees: a stream of requests without a deserializer, so that it reads nothing."""
        if self._response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._answer_many, response_serializer=self._serialize)
        return grpc.stream_unary_rpc_method_handler(self._answer_one)

    async def _answer_one(self, _: object, context: Context) -> Any:
        call = Call(context)
        ended = self._started(call.metadata)
        held = Holding(self._budget_for(call))
        try:
            response = await self._answer(call, held)
        except BaseException as error:
            raise await self._failed(error, call, ended, held) from None
        _end(ended, call.code() or grpc.StatusCode.OK)
        return response

    async def _answer(self, call: Call, held: Holding) -> bytes:
        self._enter(call, held)
        # Nothing but the method holds the message, which drops it once it is read.
        response: bytes = self._serialize(await self._behaviour(await self._only(call, held), call))
        held.keep(len(response))
        return response

    async def _answer_many(self, _: object, context: Context) -> None:
        call = Call(context)
        ended = self._started(call.metadata)
        held = Holding(self._budget_for(call))
        try:
            self._enter(call, held)
            await self._stream(call, context, held)
        except BaseException as error:
            raise await self._failed(error, call, ended, held) from None
        _end(ended, call.code() or grpc.StatusCode.OK)

    async def _stream(self, call: Call, context: Context, held: Holding) -> None:
        answers = self._behaviour(
            self._requests(call, held) if self._request_streaming else await self._only(call, held), call
        )
        if isasyncgen(answers):
            async with aclosing(answers):
                async for answer in answers:
                    await context.write(answer)
        else:
            await answers

    def _enter(self, call: Call, held: Holding) -> None:
        """Take the room that a call needs before it has sent anything."""
        self._callers.check(call)
        self._check_backlog()
        held.enter(len(call.metadata))
        # Not when the answer is written but when it was sent: one that its caller does not read stays in memory.
        call.add_done_callback(held.give_back)

    async def _requests(self, call: Call, held: Holding) -> AsyncIterator[Any]:
        """Read one message after the other, as they are asked for."""
        while (raw := await self._arrivals.receive(call.read)) is not grpc.aio.EOF:
            yield self._admitted(raw, held)

    async def _only(self, call: Call, held: Holding) -> Any:
        """Read the one message that there must be."""
        raw = await self._arrivals.receive(call.read)
        if raw is grpc.aio.EOF:
            raise RequestError("request", "the call ended without one")
        return self._admitted(raw, held)

    def _admitted(self, raw: bytes, held: Holding) -> Any:
        """Return the message if it may be so large and there is room for it."""
        values = self._values
        if values is None and len(raw) > SMALL_MESSAGE_BYTES:
            raise MessageSizeError(f"the message has {len(raw)} bytes, {self._name} takes {SMALL_MESSAGE_BYTES}")
        held.keep(len(raw))
        if values is not None:
            values.check(raw)
        try:
            return self._parse(raw)
        except Exception:
            raise RequestError("request", "its bytes are not the message that this method takes") from None

    async def _failed(self, error: BaseException, call: Call, ended: CallEnded, held: Holding) -> BaseException:
        """Tell the observer and the caller that the call failed; return what gRPC must get to see."""
        if not isinstance(error, Exception):
            # gRPC cancels the handler in both cases; only the clock tells them apart.
            late = call.time_remaining() == 0
            _end(ended, grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, error)
            return error
        if isinstance(error, grpc.aio.AbortError):
            _end(ended, call.code() or grpc.StatusCode.UNKNOWN, error)
            return error
        if isinstance(error, grpc.aio.InternalError):
            # The peer left while a message of the call was under way: nobody is there to be told.
            _end(ended, grpc.StatusCode.CANCELLED, error)
            return asyncio.CancelledError()
        code, text, trailing = to_status(error, call.request_id)
        _end(ended, code, error)
        reason = reason_for(code, error)
        self._refusals.add(method=self._name, code=code.name, reason=reason, request_id=call.request_id)
        # The caller may take long to hear of it; what it sent goes before.
        _forget(error)
        held.keep(0)
        try:
            await call.abort(code, text, trailing)
        except (grpc.aio.AbortError, asyncio.CancelledError) as abort:
            return abort
        except grpc.aio.BaseError:
            return asyncio.CancelledError()  # the peer left in the meantime
        raise AssertionError("abort returned")


def _forget(error: BaseException) -> None:
    """Drop what `error`, and those that led to it, hold: their tracebacks keep the variables of every frame passed."""
    seen: set[int] = set()
    errors = [error]
    while errors:
        each = errors.pop()
        seen.add(id(each))
        clear_frames(each.__traceback__)
        errors += [e for e in (each.__cause__, each.__context__) if e is not None and id(e) not in seen]
        each.__traceback__ = each.__cause__ = each.__context__ = None


def _nothing() -> None:
    pass


def _end(ended: CallEnded, code: grpc.StatusCode, error: BaseException | None = None) -> None:
    ended(code.name, None if code is grpc.StatusCode.OK else reason_for(code, error))
