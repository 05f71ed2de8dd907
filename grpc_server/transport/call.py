"""What every call shares, whichever protocol it speaks: its metadata and a request id."""

from __future__ import annotations

import itertools
import os
from typing import Any

import grpc.aio

REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID = 128
# Ours are a number of this process and the call's number: unique like a UUID, at a fraction of its cost.
_PROCESS = os.urandom(8).hex()
_numbers = itertools.count(1)

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """gRPC's context of a call (what is not here is found there), and its metadata, read once.

    Attributes
    ----------
    metadata
        As the caller sent it.
    message_id
        The id inside the message, if its protocol has one and it was read; it names the call unless the metadata does.
    """

    __slots__ = ("_context", "_request_id", "message_id", "metadata")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._request_id = ""
        self.metadata: tuple[tuple[str, str | bytes], ...] = context.invocation_metadata() or ()  # type: ignore[assignment]  # a tuple, says gRPC's code
        self.message_id = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def value(self, key: str) -> str | None:
        """Return the first text metadata value of that name."""
        for name, value in self.metadata:
            if name == key and isinstance(value, str):
                return value
        return None

    @property
    def request_id(self) -> str:
        """The caller's request id, or one of our own; whatever it sends, a log line stays a line."""
        if not self._request_id:
            for asked in (self.value(REQUEST_ID), self.message_id):
                if asked and asked.isprintable():
                    self._request_id = asked[:_MAX_REQUEST_ID]
                    break
            else:
                self._request_id = f"{_PROCESS}{next(_numbers):016x}"
        return self._request_id


def call_of(context: Context) -> Call:
    """Return the call whose context a method got; the entrance gives methods no other."""
    assert isinstance(context, Call)
    return context
