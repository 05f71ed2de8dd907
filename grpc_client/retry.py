"""Repeating one call until it is answered, refused for good, or out of budget.

The table of statuses, in the order in which they are looked at:

=====================================  ==================================================================
UNAVAILABLE, DEADLINE_EXCEEDED         repeat within the budget: exponential backoff with full jitter, or
                                       what ``grpc-retry-pushback-ms`` asks; a negative pushback ends it
UNAUTHENTICATED                        read the token's file again and, if it changed, repeat at once; only once
RESOURCE_EXHAUSTED                     `MessageTooLarge` (gRPC's own limit; overload is never said this way)
INVALID_ARGUMENT, NOT_FOUND,           `RequestRejected` with the server's message
UNAUTHENTICATED, PERMISSION_DENIED,
UNIMPLEMENTED and their like
anything else                          `ServerFault` with the request id to look for in the server's log
=====================================  ==================================================================
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc

from grpc_client.config import ClientConfig, RetryPolicy
from grpc_client.credentials import BearerToken
from grpc_client.errors import (
    ClientClosed,
    ClientError,
    MessageTooLarge,
    RequestRejected,
    ServerFault,
    TargetUnavailable,
)

PUSHBACK_KEY = "grpc-retry-pushback-ms"

RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
REJECTED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

Response = TypeVar("Response")


def pushback_s(metadata: Iterable[tuple[str, str | bytes]] | None) -> float | None:
    """Read the server's pushback, in seconds; negative means "do not come back" (gRFC A6), `None` that there is none.

    A value that is not a whole number also means "do not come back", as gRFC A6 has it.
    """
    for key, value in metadata or ():
        if key == PUSHBACK_KEY:
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0
    return None


def backoff_s(policy: RetryPolicy, failures: int, pushback: float | None) -> float:
    """Draw the wait before the next attempt, in seconds, after `failures` failed attempts (1 or more).

    A pushback is a floor, not an appointment: a little jitter on top keeps pushed-back clients from returning in step.
    """
    if pushback is not None:
        return pushback + random.uniform(0, policy.initial_backoff_s)
    return random.uniform(0, min(policy.max_backoff_s, policy.initial_backoff_s * 2.0 ** (failures - 1)))


def call_with_retry(
    method: Callable[..., Response],
    request: Any,
    config: ClientConfig,
    stop: threading.Event,
    token: BearerToken | None = None,
) -> Response:
    """Call `method` with `request` until the table above says that it is over.

    Every attempt has its own deadline and carries the same ``x-request-id`` with its number in ``x-request-attempt``.

    Raises
    ------
    ClientError
        By the table above; `ConfigError` if there is no token in its file; `ClientClosed` if `stop` is set while
        waiting for the next attempt.
    """
    request_id = uuid.uuid4().hex
    started = time.monotonic()
    attempt = 0
    renewed = False
    while True:
        attempt += 1
        metadata = [
            ("x-request-id", request_id),
            ("x-request-attempt", str(attempt)),
            ("x-priority", config.priority),
        ]
        shown = None if token is None else token.value()
        if shown is not None:
            metadata.append(("authorization", f"Bearer {shown}"))
        left = config.retry.budget_s - (time.monotonic() - started)
        try:
            # gRPC takes 0 or less as "expired before it was sent"; the loop below ends before that.
            return method(request, timeout=min(config.deadline_s, max(left, 0.001)), metadata=metadata)
        except grpc.RpcError as error:
            call: Any = error  # every RpcError of a finished call is also a grpc.Call
            code, details = call.code(), call.details() or "no details"
            if code is grpc.StatusCode.UNAUTHENTICATED and token is not None and shown is not None and not renewed:
                renewed = True
                if token.has_changed(shown):
                    continue
            if code not in RETRIED:
                raise _final_error(code, details, config.target, request_id) from None
            pushback = pushback_s(call.trailing_metadata())
        wait = backoff_s(config.retry, attempt, pushback)
        spent = time.monotonic() - started
        if (pushback is not None and pushback < 0) or spent + wait >= config.retry.budget_s:
            raise TargetUnavailable(
                f"no answer from {config.target} after {_times(attempt)} in {spent:.1f} s: {code.name}, {details}"
            ) from None
        if stop.wait(wait):
            raise ClientClosed(f"the call to {config.target} was given up because its client was closed")


def _final_error(code: grpc.StatusCode, details: str, target: str, request_id: str) -> ClientError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return MessageTooLarge(f"{target} refused a message by its size: {details}", code.name)
    if code in REJECTED:
        return RequestRejected(f"{target} refused the request: {code.name}, {details}", code.name)
    return ServerFault(f"{target} failed: {code.name}, {details} (request id {request_id})")


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
