"""Errors of the service.

::

    ServiceError
    ├── UnavailableError       not taken in; come back later
    │   ├── LaneFullError      too much work waits already
    │   └── DrainingError      the server is about to end
    ├── DeadlineError          dropped before it cost anything: the deadline passed or cannot be met
    ├── MessageSizeError       a message is larger than its method takes
    ├── ModelNotServedError    the request asks for another model or version
    ├── UnauthenticatedError   the caller shows no token, or a wrong one
    ├── PermissionDeniedError  the caller is known and may not call
    ├── ScoringError           the model failed on this request; the log has the cause
    └── StartupError           the server cannot start or stop as asked

What each becomes on the wire is in `grpc_server.transport.status`.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """Base of everything the service raises on purpose; its text is one sentence fit for a caller."""


class UnavailableError(ServiceError):
    """Work was not taken in; `retry_after` says in how many seconds there should be room.

    `reason` is the word under which it is counted.
    """

    reason: ClassVar[str] = "unavailable"

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class LaneFullError(UnavailableError):
    """Too much work waits in the request's lane."""

    reason = "lane_full"


class DrainingError(UnavailableError):
    """The server is about to end; another replica answers."""

    reason = "draining"


class DeadlineError(ServiceError):
    """The caller's deadline passed, or would pass before the answer; nothing was computed."""


class MessageSizeError(ServiceError):
    """A message is larger than its method takes."""


class ModelNotServedError(ServiceError):
    """The request asks for a model or version that this server does not hold."""


class UnauthenticatedError(ServiceError):
    """The caller shows no token, or one that is not valid."""


class PermissionDeniedError(ServiceError):
    """The caller's certificate is genuine, and its name is not on the list of those who may call."""


class ScoringError(ServiceError):
    """The model failed on this request; the cause is in the log under the request's id."""


class StartupError(ServiceError):
    """The server cannot start, or could not stop in time."""
