"""Errors of the service.

::

    ServiceError
    ├── UnavailableError       refused for now; retry later
    │   ├── LaneFullError          too much work waits in the lane
    │   ├── ExplanationsFullError  too many explanations are being computed
    │   └── DrainingError      the server is about to end
    ├── DeadlineError          dropped before scoring: the deadline passed or cannot be met
    ├── MessageSizeError       the message is larger than its method accepts
    ├── ModelNotServedError    the request names a model or version that is not served
    ├── UnauthenticatedError   no token, or an invalid one
    ├── PermissionDeniedError  a valid certificate without an allowed name
    ├── ScoringError           the model failed on this request; the log has the cause
    └── StartupError           the server cannot start, or could not drain in time

`grpc_server.transport.status` maps them to gRPC statuses.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """Base of the service's own errors; the text is one sentence that a caller may see."""


class UnavailableError(ServiceError):
    """The call was refused for now.

    Attributes
    ----------
    reason
        The reason under which metrics count it.
    retry_after
        Seconds after which a retry should succeed.
    """

    reason: ClassVar[str] = "unavailable"

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class LaneFullError(UnavailableError):
    """Too much work waits in the request's lane."""

    reason = "lane_full"


class ExplanationsFullError(UnavailableError):
    """Too many explanations are being computed."""

    reason = "explanations_full"


class DrainingError(UnavailableError):
    """The server is about to end; another replica can answer."""

    reason = "draining"


class DeadlineError(ServiceError):
    """The call's deadline passed, or would pass before the answer; nothing was scored."""


class MessageSizeError(ServiceError):
    """The message is larger than its method accepts."""


class ModelNotServedError(ServiceError):
    """The request names a model or version that is not served."""


class UnauthenticatedError(ServiceError):
    """The call has no token, or an invalid one."""


class PermissionDeniedError(ServiceError):
    """The caller's certificate is valid, but has no allowed name."""


class ScoringError(ServiceError):
    """The model failed on this request; the cause is in the log under the request's id."""


class StartupError(ServiceError):
    """The server cannot start, or could not drain in time."""
