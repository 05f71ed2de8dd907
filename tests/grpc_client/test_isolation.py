"""Splitting a batch until the rows at fault are alone, with a `send` that fails on given rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client import FAILED, ClientError, ModelRef, ResponseMismatchError, ServerFaultError, TargetUnavailableError
from grpc_client.errors import MessageTooLargeError, RequestRejectedError, ServerDiedError
from grpc_client.isolation import ALONE, WHOLE, FaultPolicy, score_isolating
from grpc_client.pair_batch import PairBatch
from grpc_client.results import BatchScores, RowError

MODEL = ModelRef("m", "1")


class Service:
    """Scores row "i" with i / 1000, and fails on batches that hold a row of `bad`."""

    def __init__(self, bad: set[int], error: Callable[[], ClientError]) -> None:
        self.bad, self.error = bad, error
        self.sent: list[tuple[int, FaultPolicy]] = []

    def __call__(self, batch: PairBatch, policy: FaultPolicy) -> BatchScores:
        self.sent.append((batch.rows, policy))
        rows = [int(query) for query in batch.queries]
        if self.bad.intersection(rows):
            raise self.error()
        return BatchScores([row / 1000 for row in rows], [0] * len(rows), {}, MODEL)


def fault() -> ServerFaultError:
    return ServerFaultError("it failed (request id 7)", "INTERNAL")


def batch(rows: int) -> PairBatch:
    return PairBatch([str(row) for row in range(rows)], ["t"] * rows)


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_exactly_the_rows_at_fault_have_no_score(rows: int, bad: set[int]) -> None:
    reasons: list[str] = []
    service = Service(bad, fault)
    answer = score_isolating(batch(rows), service, reasons.append)
    at_fault = {row for row in bad if row < rows}
    assert set(answer.errors) == at_fault
    for row, score in enumerate(answer.scores):
        assert math.isnan(score) if row in at_fault else score == row / 1000
    assert len(reasons) == len(at_fault)
    assert answer.model == (None if len(at_fault) == rows else MODEL)
    assert len(service.sent) <= 1 + 2 * math.ceil(math.log2(rows) if rows > 1 else 0) * max(1, len(at_fault))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (fault, "the server fails on this row alone: INTERNAL"),
        (lambda: ServerDiedError("gone", "UNAVAILABLE"), "the server's connection breaks whenever it has this row"),
        (
            lambda: MessageTooLargeError("too large", "RESOURCE_EXHAUSTED"),
            "the row alone is larger than a message may be",
        ),
    ],
)
def test_the_reason_says_what_was_seen(error: Callable[[], ClientError], reason: str) -> None:
    answer = score_isolating(batch(4), Service({2}, error), lambda _: None)
    assert answer.errors == {2: RowError(FAILED, reason)}


@pytest.mark.parametrize(
    "error",
    [
        lambda: TargetUnavailableError("nobody"),
        lambda: RequestRejectedError("no", "NOT_FOUND"),
        lambda: ResponseMismatchError("odd"),
    ],
)
def test_what_is_not_the_rows_doing_ends_it_unhalved(error: Callable[[], ClientError]) -> None:
    service = Service({0}, error)
    with pytest.raises(type(error())):
        score_isolating(batch(8), service, lambda _: None)
    assert [rows for rows, _ in service.sent] == [8]


def test_only_parts_of_a_batch_that_broke_its_connection_are_quarantined() -> None:
    service = Service({0}, lambda: ServerDiedError("gone", "UNAVAILABLE"))
    score_isolating(batch(4), service, lambda _: None)
    assert service.sent[0] == (4, WHOLE)
    assert {policy.quarantined for _, policy in service.sent[1:]} == {True}
    assert {policy.deaths for rows, policy in service.sent[1:] if rows > 1} == {1}
    assert {policy.deaths for rows, policy in service.sent[1:] if rows == 1} == {ALONE.deaths}
    service = Service({0}, fault)
    score_isolating(batch(4), service, lambda _: None)
    assert not any(policy.quarantined for _, policy in service.sent)


def test_quarantine_ends_with_the_batch() -> None:
    service = Service({0}, lambda: ServerDiedError("gone", "UNAVAILABLE"))
    score_isolating(batch(2), service, lambda _: None)
    service.bad = set()
    service.sent.clear()
    score_isolating(batch(2), service, lambda _: None)
    assert service.sent == [(2, WHOLE)]


def test_the_callback_of_a_failed_row_may_end_it() -> None:
    def enough(_: str) -> None:
        raise ServerFaultError("too many rows failed")

    with pytest.raises(ServerFaultError, match="too many rows failed"):
        score_isolating(batch(8), Service({3}, fault), enough)


def test_halves_scored_by_two_models_are_not_joined() -> None:
    models = iter([ModelRef("m", "1"), ModelRef("m", "2")])

    def send(part: PairBatch, _: FaultPolicy) -> BatchScores:
        if part.rows == 4:
            raise fault()
        return BatchScores([0.5] * part.rows, [0] * part.rows, {}, next(models))

    with pytest.raises(ResponseMismatchError, match="scored by m 1 and m 2"):
        score_isolating(batch(4), send, lambda _: None)
