"""The context of a call, with its metadata read once and a request id, for every protocol."""
# ruff: noqa: D102 - most methods are those of gRPC's context, and documented there

from __future__ import annotations

import itertools
import os
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeAlias

import grpc.aio

REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID = 128
# Ids made here are a random prefix of the process and a counter: unique like a UUID, and cheaper.
_PROCESS = os.urandom(8).hex()
_numbers = itertools.count(1)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata = tuple[tuple[str, str | bytes], ...]


class Call(grpc.aio.ServicerContext[Any, Any]):
    """gRPC's context of a call, and its metadata, read once.

    Attributes
    ----------
    metadata
        As the caller sent it.
    message_id
        The id inside the message, if its protocol has one and it was read; used as request id if the metadata has none.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._request_id = ""
        self.metadata: Metadata = context.invocation_metadata() or ()  # type: ignore[assignment]  # gRPC returns a tuple
        self.message_id = ""

    def value(self, key: str) -> str | None:
        """Return the first text metadata value of that name."""
        for name, value in self.metadata:
            if name == key and isinstance(value, str):
                return value
        return None

    @property
    def request_id(self) -> str:
        """Return the caller's request id, or one made here; it is printable and of bounded length."""
        if not self._request_id:
            for given in (self.value(REQUEST_ID), self.message_id):
                if given and given.isprintable():
                    self._request_id = given[:_MAX_REQUEST_ID]
                    break
            else:
                self._request_id = f"{_PROCESS}{next(_numbers):016x}"
        return self._request_id

    # The rest delegates to gRPC's context.

    def read(self) -> Coroutine[Any, Any, Any]:
        return self._context.read()

    def write(self, message: Any) -> Coroutine[Any, Any, None]:
        return self._context.write(message)

    def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> Coroutine[Any, Any, Any]:
        return self._context.abort(code, details, trailing_metadata)

    def abort_with_status(self, status: grpc.Status) -> Coroutine[Any, Any, Any]:
        return self._context.abort_with_status(status)

    def send_initial_metadata(self, initial_metadata: Any) -> Coroutine[Any, Any, None]:
        return self._context.send_initial_metadata(initial_metadata)

    def add_done_callback(self, callback: Any) -> None:
        self._context.add_done_callback(callback)

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def trailing_metadata(self) -> Any:
        return self._context.trailing_metadata()

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._context.set_trailing_metadata(trailing_metadata)

    def code(self) -> grpc.StatusCode:
        return self._context.code()

    def set_code(self, code: grpc.StatusCode) -> None:
        self._context.set_code(code)

    def details(self) -> str:
        return self._context.details()

    def set_details(self, details: str) -> None:
        self._context.set_details(details)

    def set_compression(self, compression: grpc.Compression) -> None:
        self._context.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._context.disable_next_message_compression()

    def peer(self) -> str:
        return self._context.peer()

    def peer_identities(self) -> Iterable[bytes] | None:
        return self._context.peer_identities()

    def peer_identity_key(self) -> str | None:
        return self._context.peer_identity_key()

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self._context.auth_context()

    def time_remaining(self) -> float:
        return self._context.time_remaining()

    def cancelled(self) -> bool:
        return self._context.cancelled()

    def done(self) -> bool:
        return self._context.done()


def call_of(context: Context) -> Call:
    """Return `context` as the `Call` that it is: admission passes no other context to a method.

    Generated code types the parameter as gRPC's context, so a servicer cannot ask for a `Call` in its signature.
    """
    assert isinstance(context, Call)
    return context
