"""What a request gets back: its own rows of the batches that held them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relevance_model import Bundle, Scores


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's scores.

    Attributes
    ----------
    bundle
        The model that gave them.
    scores
        float32 [rows]; NaN where the row failed.
    labels
        uint8 [rows].
    faults
        Row number to reason, ascending.
    queue_seconds, tokenize_seconds, infer_seconds
        Waiting time of this request, and the stages of the batch (or batches) that held it.
    """

    bundle: Bundle
    scores: NDArray[np.float32]
    labels: NDArray[np.uint8]
    faults: dict[int, str]
    queue_seconds: float
    tokenize_seconds: float
    infer_seconds: float


def cut(bundle: Bundle, result: Scores, start: int, stop: int, queue_seconds: float) -> Answer:
    """Return the rows from `start` to before `stop` of a batch."""
    return Answer(
        bundle=bundle,
        scores=result.scores[start:stop],
        labels=result.labels[start:stop],
        faults=result.faults and {row - start: fault for row, fault in result.faults.items() if start <= row < stop},
        queue_seconds=queue_seconds,
        tokenize_seconds=result.tokenize_seconds,
        infer_seconds=result.infer_seconds,
    )


def join(parts: list[Answer]) -> Answer:
    """Put the answers to one request's parts together again."""
    faults: dict[int, str] = {}
    rows = 0
    for part in parts:
        faults |= {rows + row: fault for row, fault in part.faults.items()}
        rows += len(part.scores)
    return Answer(
        bundle=parts[0].bundle,
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        faults=faults,
        queue_seconds=max(part.queue_seconds for part in parts),
        tokenize_seconds=sum(part.tokenize_seconds for part in parts),
        infer_seconds=sum(part.infer_seconds for part in parts),
    )
