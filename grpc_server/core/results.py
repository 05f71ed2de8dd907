"""The result of a request: its own rows of the batches that scored them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relevance_model import Bundle, Scores


@dataclass(frozen=True, slots=True)
class Result:
    """One request's scores.

    Attributes
    ----------
    bundle
        The model that scored it.
    scores
        float32 [rows]; NaN where the row has an error.
    labels
        uint8 [rows].
    row_errors
        Row number to reason, ascending.
    queue_seconds, tokenize_seconds, infer_seconds
        Waiting time of this request, and the stages of the batch (or batches) that held it.
    """

    bundle: Bundle
    scores: NDArray[np.float32]
    labels: NDArray[np.uint8]
    row_errors: dict[int, str]
    queue_seconds: float
    tokenize_seconds: float
    infer_seconds: float


def slice_result(bundle: Bundle, batch: Scores, start: int, stop: int, queue_seconds: float) -> Result:
    """Return the rows from `start` to before `stop` of a batch."""
    errors = batch.errors
    return Result(
        bundle=bundle,
        scores=batch.scores[start:stop],
        labels=batch.labels[start:stop],
        row_errors=errors and {row - start: reason for row, reason in errors.items() if start <= row < stop},
        queue_seconds=queue_seconds,
        tokenize_seconds=batch.tokenize_seconds,
        infer_seconds=batch.infer_seconds,
    )


def concat_results(parts: list[Result]) -> Result:
    """Return one result for a request that was scored in several parts.

    Examples
    --------
    A row error keeps its row of the whole request, and a request waited as long as its last part:

    >>> from relevance_model import Bundle, default_bundle_path
    >>> bundle = Bundle.load(default_bundle_path())
    >>> def part(error):
    ...     return Result(bundle, np.zeros(2, np.float32), np.zeros(2, np.uint8), {1: error}, 0.25, 0.5, 0.5)
    >>> whole = concat_results([part("title is empty"), part("query is empty")])
    >>> whole.row_errors
    {1: 'title is empty', 3: 'query is empty'}
    >>> whole.queue_seconds, whole.infer_seconds
    (0.25, 1.0)
    """
    row_errors: dict[int, str] = {}
    rows = 0
    for part in parts:
        row_errors |= {rows + row: reason for row, reason in part.row_errors.items()}
        rows += len(part.scores)
    return Result(
        bundle=parts[0].bundle,
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        row_errors=row_errors,
        queue_seconds=max(part.queue_seconds for part in parts),
        tokenize_seconds=sum(part.tokenize_seconds for part in parts),
        infer_seconds=sum(part.infer_seconds for part in parts),
    )
