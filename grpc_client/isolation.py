"""Finding the rows of a batch on which the server fails, by halving the batch until they are alone.

A server fault is a property of the rows, or of the moment. Half a batch is a repetition of its rows, so nothing is
repeated whole: either the halves are answered, or the fault is narrowed down, in about `2 log2(rows)` calls a row. A
row that is alone is tried several times before it is given up; all others keep their scores.

Two faults are halved: one that the service itself admits (`grpc_client.flow_control.retry`), and a server whose connection breaks
whenever it has the batch. Silence, refusals and whatever gRPC or a proxy says are not: they say nothing about the rows,
and end with the retry budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grpc_client.errors import MessageTooLargeError, ResponseMismatchError, ServerDiedError, ServerFaultError
from grpc_client.pair_batch import PairBatch
from grpc_client.results import FAILED, BatchScores, RowFailure


@dataclass(frozen=True)
class FaultPolicy:
    """How much of what may be the rows' own fault a call puts up with.

    Attributes
    ----------
    faults
        Attempts that may end with a server fault.
    deaths
        Attempts that may bring the server down, counting those before which it was seen alive; `None` for a call that
        is never suspected of it.
    suspect
        Whether the call is under suspicion from the start.
    """

    faults: int = 1
    deaths: int | None = None
    suspect: bool = False


WHOLE = FaultPolicy(deaths=2)
ALONE = FaultPolicy(faults=3, deaths=3)

Send = Callable[[PairBatch, FaultPolicy], BatchScores]
RowFailed = Callable[[str], None]


def score_isolating(columns: PairBatch, send: Send, row_failed: RowFailed) -> BatchScores:
    """Score all rows, those on which the server fails apart.

    Parameters
    ----------
    columns
        The rows, at least one.
    send
        Scores some rows in one call.
    row_failed
        Told of each row that is given up, with a sentence; may raise to end it all.

    Returns
    -------
    BatchScores
        One score and label per row; `failures` has those that were given up as well.

    Raises
    ------
    ClientError
        Whatever `send` raises and halving does not help against.
    """
    return _score(columns, send, row_failed, suspect=False)


def _score(columns: PairBatch, send: Send, row_failed: RowFailed, *, suspect: bool) -> BatchScores:
    tolerance = ALONE if columns.rows == 1 else WHOLE
    if suspect:
        # Halving is harmless, so a part of a suspect is halved at once; a row that is alone is judged with care.
        tolerance = FaultPolicy(tolerance.faults, ALONE.deaths if columns.rows == 1 else 1, suspect=True)
    try:
        return send(columns, tolerance)
    except (MessageTooLargeError, ServerFaultError) as error:
        if columns.rows == 1:
            return _given_up(error, row_failed)
        suspect = suspect or isinstance(error, ServerDiedError)
    first, second = (_score(half, send, row_failed, suspect=suspect) for half in columns.halves())
    return _joined(first, second)


def _given_up(error: MessageTooLargeError | ServerFaultError, row_failed: RowFailed) -> BatchScores:
    row_failed(str(error))
    match error:
        case MessageTooLargeError():
            reason = "the row alone is larger than a message may be"
        case ServerDiedError():
            reason = "the server's connection breaks whenever it has this row"
        case _:
            # Without the request's id, so that equal faults have equal reasons.
            reason = f"the server fails on this row alone: {error.code}"
    return BatchScores(scores=[float("nan")], labels=[0], failures={0: RowFailure(FAILED, reason)}, model=None)


def _joined(first: BatchScores, second: BatchScores) -> BatchScores:
    if first.model is not None and second.model is not None and first.model != second.model:
        raise ResponseMismatchError(f"one batch was scored by {first.model} and {second.model}")
    shift = len(first.scores)
    return BatchScores(
        scores=[*first.scores, *second.scores],
        labels=[*first.labels, *second.labels],
        failures={**first.failures, **{row + shift: failure for row, failure in second.failures.items()}},
        model=first.model or second.model,
    )
