"""The table from errors to gRPC statuses, row by row."""

from __future__ import annotations

import logging

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from grpc_server.errors import (
    DeadlineError,
    DrainingError,
    LaneFullError,
    MessageSizeError,
    ModelNotServedError,
    PermissionDeniedError,
    ScoringError,
    UnauthenticatedError,
    UnavailableError,
)
from grpc_server.transport.status import FAULT, PUSHBACK, reason_for, to_status
from relevance_model import RequestError

CODES = grpc.StatusCode


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RequestError("titles", "is empty"), CODES.INVALID_ARGUMENT, "invalid"),
        (MessageSizeError("too large"), CODES.RESOURCE_EXHAUSTED, "resource_exhausted"),
        (ModelNotServedError("no such model"), CODES.NOT_FOUND, "unknown_model"),
        (UnavailableError("later", 1.0), CODES.UNAVAILABLE, "unavailable"),
        (LaneFullError("full", 1.0), CODES.UNAVAILABLE, "lane_full"),
        (DrainingError("draining", 0.0), CODES.UNAVAILABLE, "draining"),
        (UnauthenticatedError("no token"), CODES.UNAUTHENTICATED, "unauthenticated"),
        (PermissionDeniedError("no"), CODES.PERMISSION_DENIED, "permission_denied"),
        (DeadlineError("late"), CODES.DEADLINE_EXCEEDED, "deadline"),
        (NotImplementedError("x"), CODES.UNIMPLEMENTED, "unimplemented"),
        (ScoringError("failed"), CODES.INTERNAL, "internal"),
        (KeyError("anything else"), CODES.INTERNAL, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_status_and_its_reason(error: Exception, code: grpc.StatusCode, reason: str) -> None:
    assert to_status(error, "id")[0] is code
    assert reason_for(code, error) == reason


@pytest.mark.parametrize(("retry_after", "pushback_ms"), [(0.0, "10"), (0.25, "250"), (5.0, "5000"), (3600.0, "5000")])
def test_pushback_is_in_milliseconds_and_bounded(retry_after: float, pushback_ms: str) -> None:
    assert to_status(LaneFullError("full", retry_after), "id")[2] == ((PUSHBACK, pushback_ms),)


def test_an_invalid_request_names_its_field() -> None:
    _, text, trailing = to_status(RequestError("titles", "at least one title is needed"), "id")
    assert text == "titles: at least one title is needed"
    status = status_pb2.Status.FromString(dict(trailing)["grpc-status-details-bin"])
    detail = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(detail)
    [violation] = detail.field_violations
    assert (violation.field, violation.description) == ("titles", "at least one title is needed")


@pytest.mark.parametrize("error", [ScoringError("the secret"), ValueError("the secret")])
def test_a_fault_of_the_service_is_marked_and_hides_its_cause(error: Exception) -> None:
    _, text, trailing = to_status(error, "call-7")
    assert "call-7" in text
    assert "secret" not in text
    assert trailing == (FAULT,)


def test_an_unexpected_error_is_logged_under_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        to_status(ValueError("the cause"), "call-7")
    assert "the cause" in caplog.text
    assert caplog.records[0].__dict__["request_id"] == "call-7"


def test_a_text_that_repeats_the_request_fits_into_a_header() -> None:
    assert len(to_status(ModelNotServedError("m" * 100_000), "id")[1]) == 1024


def test_a_call_that_its_caller_left_has_a_reason_without_an_error() -> None:
    assert reason_for(CODES.CANCELLED, None) == "cancelled"
