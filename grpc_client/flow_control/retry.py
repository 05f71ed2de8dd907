"""The rules of repetition: which failed attempt is repeated, and after which wait; `grpc_client.call` applies them.

A status does not tell its origin: gRPC's libraries and proxies set most of them as well (gRPC's `statuscodes.md`,
`PROTOCOL-HTTP2.md` and `http-grpc-status-mapping.md` list which). The service marks its own faults with the trailing
metadata `x-fault`; only these are attributed to the rows. The first line that matches holds:

=====================================  ==================================================================
RESOURCE_EXHAUSTED of a message's      `MessageTooLargeError`; a batch is split. The limits are read from a server at
size, INVALID_ARGUMENT of too many     the start, and may be lower on another or after a restart
rows
other INVALID_ARGUMENT, NOT_FOUND,     `RequestRejectedError` with the details. UNAUTHENTICATED: the token's file is
UNAUTHENTICATED, PERMISSION_DENIED,    read again and, if it changed, the call is repeated at once, one time
UNIMPLEMENTED and the like
any status with `x-fault`              `ServerFaultError` with the request id to look for in the server's log; a batch
                                       is split until the row at fault is alone (`grpc_client.isolation`)
any other                              repeated within the budget: exponential backoff with full jitter, or the wait
                                       of `grpc-retry-pushback-ms`; a negative pushback ends the call
=====================================  ==================================================================

The last line covers UNAVAILABLE, DEADLINE_EXCEEDED, and gRPC's own statuses for overload and protocol errors: CANCELLED
(too many calls wait, the server ends, RST_STREAM with CANCEL), RESOURCE_EXHAUSTED of anything but a message (too many
calls, headers, ENHANCE_YOUR_CALM), INTERNAL (other resets), UNKNOWN (an HTTP answer that is not gRPC's).

Attempts multiply, and each factor has a bound. For one batch of n rows, in the worst case:

- gRPC makes `grpc_client.transport.channel.ATTEMPTS` attempts in place of one that ends with UNAVAILABLE, fewer while
  refusals outnumber answers;
- a call makes as many attempts as fit into `RetryPolicy.budget_seconds` with its waits. With 120 s and waits of up to
  5 s: about 50 if refusals come at once, 8 if attempts of up to 30 s time out;
- a batch is split `log2(n)` times on the way to each row on which the server fails: `2 log2(n)` calls a row;
- Spark repeats a failed task `spark.task.maxFailures` - 1 times.
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


# Wordings of gRPC for C++ and Python, for Go, for Java, of our service, and of a proxy (HTTP 413, Content Too Large).
_SIZE = re.compile(
    r"message larger than|message exceeds maximum size|the message has \d+ bytes|header with status: 413"
)
_ROWS = re.compile(r"entries, (the limit is \d+ a request|which is the limit)")
_SIZE_CODES = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN})

Metadata = Iterable[tuple[str, str | bytes]] | None


class Meaning(Enum):
    """What a failed attempt says about the request."""

    REPEAT = "nothing: it may be answered the next time"
    REJECTED = "the request can never succeed"
    TOO_LARGE = "the request or its answer is larger than a message may be"
    FAULT = "the service failed on the request"


def meaning(code: grpc.StatusCode, details: str, metadata: Metadata) -> Meaning:
    """Return what a status means, from its code, its details and its trailing metadata."""
    if code is grpc.StatusCode.INVALID_ARGUMENT and _ROWS.search(details):
        return Meaning.TOO_LARGE
    if code in REJECTED:
        return Meaning.REJECTED
    if code in _SIZE_CODES and _SIZE.search(details):
        return Meaning.TOO_LARGE
    if any(key == FAULT_KEY for key, _ in metadata or ()):
        return Meaning.FAULT
    return Meaning.REPEAT


def pushback_seconds(metadata: Metadata) -> float | None:
    """Return the server's pushback in seconds, or None if there is none.

    Negative means "do not retry". So does a value that is not an integer (gRFC A6).
    """
    for key, value in metadata or ():
        if key == PUSHBACK_KEY:
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0
    return None


def backoff_seconds(policy: RetryPolicy, failures: int, pushback: float | None) -> float:
    """Return a random wait in seconds before the next attempt, after `failures` failed attempts (1 or more).

    A pushback is the least wait: the jitter on top of it keeps clients from returning in step.
    """
    if pushback is not None:
        return pushback + random.uniform(0, policy.initial_backoff_seconds)
    return random.uniform(
        0, min(policy.max_backoff_seconds, policy.initial_backoff_seconds * 2.0 ** min(failures - 1, 64))
    )


def final_error(
    meaning: Meaning, code: grpc.StatusCode, details: str, target: str, request_id: str
) -> RequestRejectedError | ServerFaultError:
    """Return the error for a status that is not repeated."""
    match meaning:
        case Meaning.TOO_LARGE:
            return MessageTooLargeError(f"{target} refused a message by its size: {details}", code.name)
        case Meaning.REJECTED:
            return RequestRejectedError(f"{target} refused the request: {code.name}, {details}", code.name)
        case _:
            return ServerFaultError(f"{target} failed: {code.name}, {details} (request id {request_id})", code.name)
