"""The one way in for every call of every service: who is it, is there room, does its message come, what if it breaks.

gRPC hands a unary call to its method only when the whole message is there: a stranger could make the server take in
megabytes before being shown the door. So each method is offered to gRPC as one that reads its requests itself (on the
wire there is no difference), and they are read here, after the caller and the room have been looked at.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from inspect import isasyncgen
from time import monotonic
from typing import Any, TypeAlias

import grpc
import grpc.aio

from grpc_server.auth import Callers
from grpc_server.bounds import CALL_BYTES, Arrivals, ByteBudget
from grpc_server.calls import request_id
from grpc_server.status import to_status
from relevance_model import RequestError

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

HEALTH = "/grpc.health.v1.Health/"
_LOG_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Room:
    """What calls of one kind share: a budget for those taken in, and places for messages on their way."""

    budget: ByteBudget
    arrivals: Arrivals


class Entrance(grpc.aio.ServerInterceptor):
    """Offers every method to gRPC behind the same door.

    Parameters
    ----------
    callers
        Who may call.
    work
        Room for every call but the health checks.
    probes
        Room for health checks. They need no token, or every probe would have to hold one; and they must be answered
        when the other room is full, so they have one of their own.
    """

    def __init__(self, callers: Callers, *, work: Room, probes: Room) -> None:
        self._callers = callers
        self._work = work
        self._probes = probes
        self._refusals = Refusals()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Put the door before the method."""
        method = await continuation(handler_call_details)
        if method is None:
            return None  # gRPC then answers UNIMPLEMENTED, and reads nothing
        if handler_call_details.method.startswith(HEALTH):
            return _Door(method, self._probes, Callers(), self._refusals).handler()
        return _Door(method, self._work, self._callers, self._refusals).handler()


class Refusals:
    """Counts calls that were turned away and logs the counts now and then: a flood of calls is no flood of lines."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._logged = -_LOG_EVERY_SECONDS

    def add(self, code: grpc.StatusCode) -> None:
        """Count one."""
        self._counts[code.name] += 1
        if monotonic() - self._logged >= _LOG_EVERY_SECONDS:
            log.warning("calls turned away", extra={"calls": dict(self._counts)})
            self._counts.clear()
            self._logged = monotonic()


class _Door:
    """One call's way to its method."""

    def __init__(self, method: Any, room: Room, callers: Callers, refusals: Refusals) -> None:
        self._method = method
        self._room = room
        self._callers = callers
        self._refusals = refusals
        self._charges = ExitStack()

    def handler(self) -> Handler:
        """Return the handler that gRPC sees: a stream of requests without a deserializer, so that it reads nothing."""
        method = self._method
        if method.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._answer_many, response_serializer=method.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(self._answer_one)

    async def _answer_one(self, _: object, context: Context) -> Any:
        with self._charges:
            try:
                answer = await (await self._call(context))
                return self._method.response_serializer(answer)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await self._turn_away(error, context)

    async def _answer_many(self, _: object, context: Context) -> None:
        with self._charges:
            try:
                answers = await self._call(context)
                if isasyncgen(answers):
                    async with aclosing(answers):
                        async for answer in answers:
                            await context.write(answer)
                else:
                    await answers
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await self._turn_away(error, context)

    async def _call(self, context: Context) -> Any:
        """Let the caller in, read the request and begin the method; return what it gives to wait for."""
        self._callers.check(context)
        self._charges.enter_context(self._room.budget.charge(CALL_BYTES))
        method = self._method
        if method.request_streaming:
            return (method.stream_stream or method.stream_unary)(self._read_all(context), context)
        request = await self._read(context)
        if request is None:
            raise RequestError("request", "the call ended without one")
        return (method.unary_unary or method.unary_stream)(request, context)

    async def _read(self, context: Context) -> Any:
        """Return the next request; ``None`` if there is none."""
        raw = await self._room.arrivals.receive(context.read)
        if raw is grpc.aio.EOF:
            return None
        self._charges.enter_context(self._room.budget.charge(len(raw)))
        try:
            return self._method.request_deserializer(raw)
        except Exception:
            raise RequestError("request", "its bytes are not the message that this method takes") from None

    async def _read_all(self, context: Context) -> AsyncIterator[Any]:
        while (request := await self._read(context)) is not None:
            yield request

    async def _turn_away(self, error: Exception, context: Context) -> None:
        code, text, trailing = to_status(error, request_id(context))
        self._refusals.add(code)
        await context.abort(code, text, trailing)
