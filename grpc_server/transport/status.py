"""The table from errors to gRPC statuses.

======================= =================== =====================================================================
raised                  status              what the caller should do
======================= =================== =====================================================================
`RequestError`          INVALID_ARGUMENT    correct the request; `google.rpc.BadRequest` names the field
`MessageSizeError`      RESOURCE_EXHAUSTED  do not send this message again
`ModelNotServedError`   NOT_FOUND           ask for a model that is served
`UnavailableError`      UNAVAILABLE         retry after `grpc-retry-pushback-ms`
`UnauthenticatedError`  UNAUTHENTICATED     send a valid token
`PermissionDeniedError` PERMISSION_DENIED   use a certificate whose name may call
`DeadlineError`         DEADLINE_EXCEEDED   retry with more time; nothing was computed
`NotImplementedError`   UNIMPLEMENTED       not retry; generated code raises it for a method that is not served
anything else           INTERNAL            report the request id; the log has the cause, the status does not
======================= =================== =====================================================================

INTERNAL carries the trailing metadata `x-fault: service`. It distinguishes a fault of the service on this request from
the INTERNAL of gRPC libraries and proxies, for which the request is not to blame.

RESOURCE_EXHAUSTED means a message over a size limit and nothing else, as gRPC itself sends it for a message over the
port's limit. So a caller can tell "do not send this again" from "retry later".
"""

from __future__ import annotations

import logging

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from grpc_server.errors import (
    DeadlineError,
    DrainingError,
    ExplanationsFullError,
    LaneFullError,
    MessageSizeError,
    ModelNotServedError,
    PermissionDeniedError,
    ScoringError,
    UnauthenticatedError,
    UnavailableError,
)
from relevance_model import RequestError

log = logging.getLogger(__name__)

# Clients read these names; `grpc_client` has its own copies, since neither side imports the other.
PUSHBACK = "grpc-retry-pushback-ms"
FAULT = ("x-fault", "service")
_MIN_PUSHBACK_SECONDS = 0.01
_MAX_PUSHBACK_SECONDS = 5.0
# The text may repeat the caller's input. A header over 16 KiB would reach the caller as RESOURCE_EXHAUSTED instead.
_MAX_TEXT = 1024
# The reasons under which metrics count failed calls; a code that is not here is its own reason.
_REASONS = {
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid",
    grpc.StatusCode.NOT_FOUND: "unknown_model",
}
# Those that every server should show from its start, even if none has happened yet.
COMMON_REASONS = (
    *_REASONS.values(),
    *(e.reason for e in (UnavailableError, LaneFullError, ExplanationsFullError, DrainingError)),
    "internal",
)
_PUBLIC_INTERNAL = "internal error; the server's log has the cause under this request id"


def to_status(error: Exception, request_id: str) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """Return the code, the public text and the trailing metadata for `error`."""
    match error:
        case RequestError():
            violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
            return _with_detail(
                grpc.StatusCode.INVALID_ARGUMENT, str(error), error_details_pb2.BadRequest(field_violations=[violation])
            )
        case ModelNotServedError():
            return grpc.StatusCode.NOT_FOUND, str(error)[:_MAX_TEXT], ()
        case MessageSizeError():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), ()
        case UnavailableError():
            seconds = min(max(error.retry_after, _MIN_PUSHBACK_SECONDS), _MAX_PUSHBACK_SECONDS)
            return grpc.StatusCode.UNAVAILABLE, str(error), ((PUSHBACK, str(round(seconds * 1000))),)
        case DeadlineError():
            return grpc.StatusCode.DEADLINE_EXCEEDED, str(error), ()
        case UnauthenticatedError():
            return grpc.StatusCode.UNAUTHENTICATED, str(error), ()
        case PermissionDeniedError():
            return grpc.StatusCode.PERMISSION_DENIED, str(error), ()
        case NotImplementedError():
            return grpc.StatusCode.UNIMPLEMENTED, "this server does not have the method", ()
        case ScoringError():
            return grpc.StatusCode.INTERNAL, f"{_PUBLIC_INTERNAL}: {request_id}", (FAULT,)
        case _:
            log.error("unexpected error", exc_info=error, extra={"request_id": request_id})
            return grpc.StatusCode.INTERNAL, f"{_PUBLIC_INTERNAL}: {request_id}", (FAULT,)


def reason_for(code: grpc.StatusCode, error: BaseException | None) -> str:
    """Return the reason under which a call is counted that ended with `code` because of `error`."""
    if isinstance(error, UnavailableError):
        return error.reason
    return _REASONS.get(code, code.name.lower())


def _with_detail(
    code: grpc.StatusCode, text: str, detail: error_details_pb2.BadRequest
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=text, details=[packed]))
    return status.code, status.details, status.trailing_metadata
