"""When a failed attempt is repeated, and after which wait; `grpc_client.caller` does it.

The table of statuses, in the order in which they are looked at:

=====================================  ==================================================================
UNAVAILABLE, DEADLINE_EXCEEDED         repeat within the budget: exponential backoff with full jitter, or
                                       what ``grpc-retry-pushback-ms`` asks; a negative pushback ends it
UNAUTHENTICATED                        read the token's file again and, if it changed, repeat at once; only once
RESOURCE_EXHAUSTED                     `MessageTooLarge` (gRPC's own limit; overload is never said this way);
                                       a batch is halved
INVALID_ARGUMENT, NOT_FOUND,           `RequestRejected` with the server's message
UNAUTHENTICATED, PERMISSION_DENIED,
UNIMPLEMENTED and their like
anything else                          `ServerFault` with the request id to look for in the server's log; a batch
                                       is halved until the row at fault is alone (`grpc_client.isolation`)
=====================================  ==================================================================

Attempts multiply, and each factor has a bound. Of one batch of n rows, in the worst case:

- gRPC makes `grpc_client.channel.ATTEMPTS` of an attempt that UNAVAILABLE ends, fewer while refusals prevail;
- a call makes as many attempts as fit into `RetryPolicy.budget_s` with its waits: with 120 s, waits of up to 5 s drawn
  evenly, and refusals that come at once, about 50; with attempts that are not answered, of up to 30 s each, 8;
- a batch is halved ``log2(n)`` times on the way to each row on which the server fails: ``2 log2(n)`` calls a row;
- Spark repeats a task that failed, ``spark.task.maxFailures`` - 1 times.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import grpc

from grpc_client.config import RetryPolicy
from grpc_client.errors import ClientError, MessageTooLarge, RequestRejected, ServerFault

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
    return random.uniform(0, min(policy.max_backoff_s, policy.initial_backoff_s * 2.0 ** min(failures - 1, 64)))


def final_error(code: grpc.StatusCode, details: str, target: str, request_id: str) -> ClientError:
    """Give the error for a status that is not repeated."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return MessageTooLarge(f"{target} refused a message by its size: {details}", code.name)
    if code in REJECTED:
        return RequestRejected(f"{target} refused the request: {code.name}, {details}", code.name)
    return ServerFault(f"{target} failed: {code.name}, {details} (request id {request_id})", code.name)
