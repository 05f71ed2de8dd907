"""When a failed attempt is repeated, and after which wait; `grpc_client.call` does it.

A status seldom says who speaks: gRPC's libraries and proxies on the way say most of them on their own account (gRPC's
`statuscodes.md`, `PROTOCOL-HTTP2.md` and `http-grpc-status-mapping.md` list which). The service marks what it says of
itself with the trailing metadata `x-fault`, and nothing else is held against the rows. The table, in the order in
which it is looked at:

=====================================  ==================================================================
INVALID_ARGUMENT, NOT_FOUND,           `RequestRejectedError` with the words that came. UNAUTHENTICATED: read the
UNAUTHENTICATED, PERMISSION_DENIED,    token's file again and, if it changed, repeat at once; only once
UNIMPLEMENTED and their like
RESOURCE_EXHAUSTED of a message's      `MessageTooLargeError`; a batch is halved
size
anything marked `x-fault`            `ServerFaultError` with the request id to look for in the server's log; a batch
                                       is halved until the row at fault is alone (`grpc_client.isolation`)
anything else                          repeat within the budget: exponential backoff with full jitter, or
                                       what `grpc-retry-pushback-ms` asks; a negative pushback ends it
=====================================  ==================================================================

The last line holds UNAVAILABLE and DEADLINE_EXCEEDED, and what gRPC says when it is overloaded or loses its way:
CANCELLED (too many calls wait, the server ends, RST_STREAM with CANCEL), RESOURCE_EXHAUSTED of anything but a message
(too many calls, headers, ENHANCE_YOUR_CALM), INTERNAL (other resets), UNKNOWN (an HTTP answer that is not gRPC's).

Attempts multiply, and each factor has a bound. Of one batch of n rows, in the worst case:

- gRPC makes `grpc_client.transport.channel.ATTEMPTS` of an attempt that UNAVAILABLE ends, fewer while refusals prevail;
- a call makes as many attempts as fit into `RetryPolicy.budget_seconds` with its waits: with 120 s, waits of up to 5 s drawn
  evenly, and refusals that come at once, about 50; with attempts that are not answered, of up to 30 s each, 8;
- a batch is halved `log2(n)` times on the way to each row on which the server fails: `2 log2(n)` calls a row;
- Spark repeats a task that failed, `spark.task.maxFailures` - 1 times.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from enum import Enum

import grpc

from grpc_client.config import RetryPolicy
from grpc_client.errors import MessageTooLargeError, RequestRejectedError, ServerFaultError

PUSHBACK_KEY = "grpc-retry-pushback-ms"

FAULT_KEY = "x-fault"

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


# As gRPC for C++ and Python, for Go, for Java, our own service, and a proxy (HTTP 413, Content Too Large) say it.
_SIZE = re.compile(
    r"message larger than|message exceeds maximum size|the message has \d+ bytes|header with status: 413"
)
_SIZE_CODES = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN})

Metadata = Iterable[tuple[str, str | bytes]] | None


class Meaning(Enum):
    """What a failed attempt says."""

    REPEAT = "nothing about the request: it may be answered the next time"
    REJECTED = "the request can never succeed"
    TOO_LARGE = "the request or its answer is larger than a message may be"
    FAULT = "the service failed on the request"


def meaning(code: grpc.StatusCode, details: str, metadata: Metadata) -> Meaning:
    """Return what a status means, from its code, its words and its trailing metadata."""
    if code in REJECTED:
        return Meaning.REJECTED
    if code in _SIZE_CODES and _SIZE.search(details):
        return Meaning.TOO_LARGE
    if any(key == FAULT_KEY for key, _ in metadata or ()):
        return Meaning.FAULT
    return Meaning.REPEAT


def pushback_seconds(metadata: Metadata) -> float | None:
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


def backoff_seconds(policy: RetryPolicy, failures: int, pushback: float | None) -> float:
    """Draw the wait before the next attempt, in seconds, after `failures` failed attempts (1 or more).

    A pushback is a floor, not an appointment: a little jitter on top keeps pushed-back clients from returning in step.
    """
    if pushback is not None:
        return pushback + random.uniform(0, policy.initial_backoff_seconds)
    return random.uniform(
        0, min(policy.max_backoff_seconds, policy.initial_backoff_seconds * 2.0 ** min(failures - 1, 64))
    )


def final_error(
    meaning: Meaning, code: grpc.StatusCode, details: str, target: str, request_id: str
) -> RequestRejectedError | ServerFaultError:
    """Return the error for what is not repeated."""
    match meaning:
        case Meaning.TOO_LARGE:
            return MessageTooLargeError(f"{target} refused a message by its size: {details}", code.name)
        case Meaning.REJECTED:
            return RequestRejectedError(f"{target} refused the request: {code.name}, {details}", code.name)
        case _:
            return ServerFaultError(f"{target} failed: {code.name}, {details} (request id {request_id})", code.name)
