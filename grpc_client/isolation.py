"""Isolation of the rows on which the server fails: the batch is split until they are alone.

A server fault comes from the rows, or from the moment. A batch that failed is sent again as two halves: either both are
answered, or the fault is narrowed down, in about `2 log2(rows)` calls a row. A row that is alone is tried several times
before it gets a row error; all others keep their scores.

Split are: a batch that is larger than a message may be, one on which the service admits a fault
(`grpc_client.flow_control.retry`), and one with which the server's connection breaks again and again. Timeouts,
refusals and statuses of gRPC or a proxy say nothing about the rows; they end with the retry budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grpc_client.errors import MessageTooLargeError, ResponseMismatchError, ServerDiedError, ServerFaultError
from grpc_client.pair_batch import PairBatch
from grpc_client.results import FAILED, BatchScores, RowError


@dataclass(frozen=True)
class FaultPolicy:
    """How many attempts of a call may fail in a way that the rows can cause.

    Attributes
    ----------
    faults
        Attempts that may end with a server fault.
    deaths
        Attempts with which the server may crash, if it was seen to serve before; None if a crash is never attributed to
        the call.
    quarantined
        Whether the call is sent alone and on a connection of its own from the start.
    """

    faults: int = 1
    deaths: int | None = None
    quarantined: bool = False


WHOLE = FaultPolicy(deaths=2)
ALONE = FaultPolicy(faults=3, deaths=3)

Send = Callable[[PairBatch, FaultPolicy], BatchScores]
OnRowFailed = Callable[[str], None]


def score_isolating(batch: PairBatch, send: Send, on_row_failed: OnRowFailed) -> BatchScores:
    """Score all rows, and separate those on which the server fails.

    Parameters
    ----------
    batch
        The rows, at least one.
    send
        Scores some rows in one call.
    on_row_failed
        Called with one sentence for each row that gets a row error here; may raise to end it all.

    Returns
    -------
    BatchScores
        One score and label per row; `errors` has the rows that the server refused and those that failed here.

    Raises
    ------
    ClientError
        Each error of `send` that splitting does not help against.
    """
    return _score(batch, send, on_row_failed, quarantined=False)


def _score(batch: PairBatch, send: Send, on_row_failed: OnRowFailed, *, quarantined: bool) -> BatchScores:
    policy = ALONE if batch.rows == 1 else WHOLE
    if quarantined:
        # Splitting loses nothing, so a quarantined batch is split after its first crash; one row needs ALONE.deaths.
        policy = FaultPolicy(policy.faults, ALONE.deaths if batch.rows == 1 else 1, quarantined=True)
    try:
        return send(batch, policy)
    except (MessageTooLargeError, ServerFaultError) as error:
        if batch.rows == 1:
            return _failed_row(error, on_row_failed)
        quarantined = quarantined or isinstance(error, ServerDiedError)
    first, second = (_score(half, send, on_row_failed, quarantined=quarantined) for half in batch.halves())
    return _concat(first, second)


def _failed_row(error: MessageTooLargeError | ServerFaultError, on_row_failed: OnRowFailed) -> BatchScores:
    on_row_failed(str(error))
    match error:
        case MessageTooLargeError():
            reason = "the row alone is larger than a message may be"
        case ServerDiedError():
            reason = "the server's connection breaks whenever it has this row"
        case _:
            # Without the request's id, so that equal faults have equal reasons.
            reason = f"the server fails on this row alone: {error.code}"
    return BatchScores(scores=[float("nan")], labels=[0], errors={0: RowError(FAILED, reason)}, model=None)


def _concat(first: BatchScores, second: BatchScores) -> BatchScores:
    if first.model is not None and second.model is not None and first.model != second.model:
        raise ResponseMismatchError(f"one batch was scored by {first.model} and {second.model}")
    shift = len(first.scores)
    return BatchScores(
        scores=[*first.scores, *second.scores],
        labels=[*first.labels, *second.labels],
        errors={**first.errors, **{row + shift: error for row, error in second.errors.items()}},
        model=first.model or second.model,
    )
