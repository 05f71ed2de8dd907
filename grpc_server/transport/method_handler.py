"""One method behind admission control: authenticate, reserve memory and a slot, read the message, call, map errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from inspect import isasyncgen
from traceback import clear_frames
from typing import Any

import grpc
import grpc.aio

from grpc_server.core.observer import CallEnded, CallStarted
from grpc_server.errors import MessageSizeError
from grpc_server.transport.auth import Authenticator
from grpc_server.transport.call import Call, Context
from grpc_server.transport.limits import SMALL_MESSAGE_BYTES, MemoryBudget, ReceiveSlots, Reservation
from grpc_server.transport.rejections import RejectionLog
from grpc_server.transport.status import reason_for, to_status
from grpc_server.transport.wire import ValueBound
from relevance_model import RequestError


class MethodHandler:
    """Calls one method of a servicer.

    Parameters
    ----------
    name
        Of the method, for errors and the log.
    handler
        What generated code made of the servicer's method.
    budget_for, slots
        The memory budget that a call takes from, and the slots that its messages are received in.
    authenticator
        Checks the caller.
    values
        How many values a message may hold; `None` for a method without texts, whose messages must be small.
    check_backlog
        Raises while too many calls wait in gRPC.
    rejections
        Logs refused calls.
    started
        The observer's function for the start of a call.
    """

    def __init__(
        self,
        name: str,
        handler: Any,
        *,
        budget_for: Callable[[Call], MemoryBudget],
        slots: ReceiveSlots,
        authenticator: Authenticator,
        values: ValueBound | None,
        check_backlog: Callable[[], None],
        rejections: RejectionLog,
        started: CallStarted,
    ) -> None:
        self._name = name
        self._values = values
        self._request_streaming, self._response_streaming = handler.request_streaming, handler.response_streaming
        self._behaviour = handler.unary_unary or handler.unary_stream or handler.stream_stream
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer
        self._budget_for = budget_for
        self._slots = slots
        self._authenticator = authenticator
        self._check_backlog = check_backlog
        self._rejections = rejections
        self._started = started

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """Return the handler for gRPC: client-streaming and without a deserializer, so that gRPC reads no message."""
        if self._response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._answer_many, response_serializer=self._serialize)
        return grpc.stream_unary_rpc_method_handler(self._answer_one)

    async def _answer_one(self, _: object, context: Context) -> Any:
        call = Call(context)
        ended = self._started(call.metadata)
        held = Reservation(self._budget_for(call))
        try:
            response = await self._answer(call, held)
        except BaseException as error:
            raise await self._failed(error, call, ended, held) from None
        _end(ended, call.code() or grpc.StatusCode.OK)
        return response

    async def _answer(self, call: Call, held: Reservation) -> bytes:
        self._enter(call, held)
        # The message is passed on without a name here, so that the method can free it once it has read it.
        response: bytes = self._serialize(await self._behaviour(await self._receive_only(call, held), call))
        held.resize(len(response))
        return response

    async def _answer_many(self, _: object, context: Context) -> None:
        call = Call(context)
        ended = self._started(call.metadata)
        held = Reservation(self._budget_for(call))
        try:
            self._enter(call, held)
            await self._stream(call, context, held)
        except BaseException as error:
            raise await self._failed(error, call, ended, held) from None
        _end(ended, call.code() or grpc.StatusCode.OK)

    async def _stream(self, call: Call, context: Context, held: Reservation) -> None:
        answers = self._behaviour(
            self._receive_all(call, held) if self._request_streaming else await self._receive_only(call, held), call
        )
        if isasyncgen(answers):
            async with aclosing(answers):
                async for answer in answers:
                    await context.write(answer)
        else:
            await answers

    def _enter(self, call: Call, held: Reservation) -> None:
        """Check the caller and reserve what a call costs before it has sent a message."""
        self._authenticator.check(call)
        self._check_backlog()
        held.enter(len(call.metadata))
        # Called when the answer was sent, not when it was written: an unread answer stays in memory.
        call.add_done_callback(held.release)

    async def _receive_all(self, call: Call, held: Reservation) -> AsyncIterator[Any]:
        """Yield one message after the other, each when it is asked for."""
        while (raw := await self._slots.receive(call.read)) is not grpc.aio.EOF:
            yield self._admit(raw, held)

    async def _receive_only(self, call: Call, held: Reservation) -> Any:
        """Return the only message of the call."""
        raw = await self._slots.receive(call.read)
        if raw is grpc.aio.EOF:
            raise RequestError("request", "the call ended without one")
        return self._admit(raw, held)

    def _admit(self, raw: bytes, held: Reservation) -> Any:
        """Check the message's size and number of values, reserve memory for it, and parse it."""
        values = self._values
        if values is None and len(raw) > SMALL_MESSAGE_BYTES:
            raise MessageSizeError(f"the message has {len(raw)} bytes, {self._name} takes {SMALL_MESSAGE_BYTES}")
        held.resize(len(raw))
        if values is not None:
            values.check(raw)
        try:
            return self._parse(raw)
        except Exception:
            raise RequestError("request", "its bytes are not the message that this method takes") from None

    async def _failed(self, error: BaseException, call: Call, ended: CallEnded, held: Reservation) -> BaseException:
        """Report the failure to the observer and the caller; return the exception to raise towards gRPC."""
        if not isinstance(error, Exception):
            # gRPC cancels the handler for a cancellation and for a deadline; only the time left tells them apart.
            late = call.time_remaining() == 0
            _end(ended, grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, error)
            return error
        if isinstance(error, grpc.aio.AbortError):
            _end(ended, call.code() or grpc.StatusCode.UNKNOWN, error)
            return error
        if isinstance(error, grpc.aio.InternalError):
            # The peer left while a message of the call was being sent or received.
            _end(ended, grpc.StatusCode.CANCELLED, error)
            return asyncio.CancelledError()
        code, text, trailing = to_status(error, call.request_id)
        _end(ended, code, error)
        reason = reason_for(code, error)
        self._rejections.add(method=self._name, code=code.name, reason=reason, request_id=call.request_id)
        # Free the message first: the caller may take long to read the status.
        _release_frames(error)
        held.resize(0)
        try:
            await call.abort(code, text, trailing)
        except (grpc.aio.AbortError, asyncio.CancelledError) as abort:
            return abort
        except grpc.aio.BaseError:
            return asyncio.CancelledError()  # the peer left in the meantime
        raise AssertionError("abort returned")


def _release_frames(error: BaseException) -> None:
    """Drop the tracebacks of `error` and its causes: they keep the variables of every frame, and so the message."""
    seen: set[int] = set()
    errors = [error]
    while errors:
        each = errors.pop()
        seen.add(id(each))
        clear_frames(each.__traceback__)
        errors += [e for e in (each.__cause__, each.__context__) if e is not None and id(e) not in seen]
        each.__traceback__ = each.__cause__ = each.__context__ = None


def _end(ended: CallEnded, code: grpc.StatusCode, error: BaseException | None = None) -> None:
    ended(code.name, None if code is grpc.StatusCode.OK else reason_for(code, error))
