"""Tells the observer of every RPC: its start, and the status it ended with however it ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import cache
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf import descriptor_pool

from grpc_server.observer import Call, CallEnded, Observer
from grpc_server.status import reason_for

# Generic for type checkers only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]

_UNKNOWN = "unknown"
# By whether requests and responses are streams.
_KINDS = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
_MAKERS: dict[str, Callable[..., Handler]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


class ObservingInterceptor(grpc.aio.ServerInterceptor):
    """Goes first in the chain, so that what other interceptors refuse is seen too.

    One status is not seen: gRPC itself tells the caller of a message over the size limit, RESOURCE_EXHAUSTED, and shows
    the server a call that ends without a message.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._observer.call_started(Call("unary", _UNKNOWN, _UNKNOWN))(grpc.StatusCode.UNIMPLEMENTED.name, None)
            return None
        name, behaviour = next((name, found) for name in _MAKERS if (found := getattr(handler, name)))
        service, _, method = handler_call_details.method.removeprefix("/").rpartition("/")
        metadata = tuple((key, value) for key, value in handler_call_details.invocation_metadata or ())
        call = Call(_kind(service, method, handler), service, method, metadata)
        if inspect.isasyncgenfunction(behaviour):
            wrapped: Callable[..., Any] = self._generating(call, behaviour)
        elif inspect.iscoroutinefunction(behaviour):
            wrapped = self._awaiting(call, behaviour)
        else:
            return handler  # a blocking handler runs on another thread, with another context; the service has none
        return _MAKERS[name](wrapped, handler.request_deserializer, handler.response_serializer)

    def _awaiting(self, call: Call, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(request: Any, context: Context) -> Any:
            ended = self._observer.call_started(call)
            try:
                response = await behaviour(request, context)
            except BaseException as error:
                _end(ended, _failure(error, context), error)
                raise
            _end(ended, _status(context) or grpc.StatusCode.OK)
            return response

        return wrapped

    def _generating(
        self, call: Call, behaviour: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., AsyncIterator[Any]]:
        async def wrapped(request: Any, context: Context) -> AsyncIterator[Any]:
            ended = self._observer.call_started(call)
            try:
                async with aclosing(behaviour(request, context)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        yield response
            except BaseException as error:
                _end(ended, _failure(error, context), error)
                raise
            _end(ended, _status(context) or grpc.StatusCode.OK)

        return wrapped


def _kind(service: str, method: str, handler: Handler) -> str:
    """Return the method's kind as its contract has it: another interceptor may have changed the handler's."""
    return _contract_kind(service, method) or _KINDS[handler.request_streaming, handler.response_streaming]


@cache
def _contract_kind(service: str, method: str) -> str | None:
    try:
        found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(method)
    except KeyError:
        return None
    return _KINDS[found.client_streaming, found.server_streaming]


def _end(ended: CallEnded, code: grpc.StatusCode, error: BaseException | None = None) -> None:
    ended(code.name, None if code is grpc.StatusCode.OK else reason_for(code, error))


def _status(context: Context) -> grpc.StatusCode | None:
    """Return the status that the handler has set or aborted with, if any."""
    code: object = context.code()
    return code if isinstance(code, grpc.StatusCode) else None


def _failure(error: BaseException, context: Context) -> grpc.StatusCode:
    """Return the status that the caller sees when the handler ends by ``error``."""
    if status := _status(context):
        return status
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        # gRPC cancels the handler in both cases; only the clock tells them apart.
        late = context.time_remaining() == 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
    return grpc.StatusCode.UNKNOWN
