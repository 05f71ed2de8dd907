"""Errors of the service.

::

    ServiceError
    ├── UnavailableError       not taken in: the queue is full, or the server drains; come back later
    ├── DeadlineError          dropped before it cost anything: the deadline passed or cannot be met
    ├── ModelNotServedError    the request asks for another model or version
    ├── ScoringError           the model failed on this request; the log has the cause
    └── StartupError           the server cannot start or stop as asked

What each becomes on the wire is in :mod:`grpc_server.status`.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of everything the service raises on purpose; its text is one sentence fit for a caller."""


class UnavailableError(ServiceError):
    """Work was not taken in; ``retry_after`` says in how many seconds there should be room."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class DeadlineError(ServiceError):
    """The caller's deadline passed, or would pass before the answer; nothing was computed."""


class ModelNotServedError(ServiceError):
    """The request asks for a model or version that this server does not hold."""


class ScoringError(ServiceError):
    """The model failed on this request; the cause is in the log under the request's id."""


class StartupError(ServiceError):
    """The server cannot start, or could not stop in time."""
