"""The table of statuses, the pushback and the waits: pure functions."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client import RequestRejectedError, RetryPolicy, ServerFaultError
from grpc_client.errors import MessageTooLargeError
from grpc_client.flow_control.retry import Meaning, backoff_seconds, final_error, meaning, pushback_seconds

POLICY = RetryPolicy(budget_seconds=60, initial_backoff_seconds=0.1, max_backoff_seconds=5)
MARK = (("x-fault", "service"),)
FINAL = {"INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION"}
FINAL |= {"OUT_OF_RANGE", "UNIMPLEMENTED"}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_without_the_mark_no_status_is_a_fault(code: grpc.StatusCode) -> None:
    expected = Meaning.REJECTED if code.name in FINAL else Meaning.REPEAT
    assert meaning(code, "internal error", (("x-request-id", "1"),)) is expected
    assert meaning(code, "", None) is expected
    marked = Meaning.REJECTED if code.name in FINAL else Meaning.FAULT
    assert meaning(code, "internal error", MARK) is marked


def test_size_is_a_matter_of_words_and_code() -> None:
    words = "Received message larger than max (5 vs. 4)"
    assert meaning(grpc.StatusCode.RESOURCE_EXHAUSTED, words, ()) is Meaning.TOO_LARGE
    assert meaning(grpc.StatusCode.INTERNAL, words, ()) is Meaning.REPEAT
    assert meaning(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", ()) is Meaning.REPEAT


@pytest.mark.parametrize(
    "details",
    ["queries: 1024 entries, the limit is 512 a request", "titles: more than 512 entries, which is the limit"],
)
def test_too_many_rows_are_a_matter_of_size(details: str) -> None:
    assert meaning(grpc.StatusCode.INVALID_ARGUMENT, details, ()) is Meaning.TOO_LARGE
    assert meaning(grpc.StatusCode.INTERNAL, details, ()) is Meaning.REPEAT


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (Meaning.TOO_LARGE, MessageTooLargeError),
        (Meaning.REJECTED, RequestRejectedError),
        (Meaning.FAULT, ServerFaultError),
    ],
)
def test_final_errors_name_target_and_words(what: Meaning, kind: type[Exception]) -> None:
    error = final_error(what, grpc.StatusCode.DATA_LOSS, "as told", "host:1", "night-7")
    assert type(error) is kind
    assert error.code == "DATA_LOSS"
    assert "host:1" in str(error)
    assert "as told" in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0.0), ("1500", 1.5), ("-1", -0.001), ("soon", -1.0), ("", -1.0), ("1.5", -1.0)]
)
def test_pushback_is_a_whole_number_of_milliseconds_or_means_do_not_come_back(value: str, seconds: float) -> None:
    assert pushback_seconds((("other", "1"), ("grpc-retry-pushback-ms", value))) == seconds


def test_no_pushback() -> None:
    assert pushback_seconds(None) is None
    assert pushback_seconds((("x", "1"),)) is None


@given(st.integers(1, 10_000))
def test_the_wait_is_below_a_bound_that_doubles_to_the_most(failures: int) -> None:
    bound = min(5.0, 0.1 * 2.0 ** min(failures - 1, 64))
    assert 0 <= backoff_seconds(POLICY, failures, None) <= bound


@given(st.integers(1, 100), st.floats(0, 100))
def test_a_pushback_is_a_floor_whatever_failed_before(failures: int, pushback: float) -> None:
    assert pushback <= backoff_seconds(POLICY, failures, pushback) <= pushback + POLICY.initial_backoff_seconds
