"""What the service answers, as plain values without protobuf in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grpc_client.config import ModelRef


@dataclass(frozen=True)
class Limits:
    """What the server enforces; the proto's `Limits` says what each means."""

    max_rows: int
    max_text_bytes: int
    max_message_bytes: int
    max_queued_tokens: int
    max_query_tokens: int
    max_title_tokens: int


@dataclass(frozen=True)
class ModelInfo:
    """The served model: who it is, what its labels are called and what the server accepts."""

    ref: ModelRef
    sha256: str
    labels: tuple[str, ...]
    threshold: float
    limits: Limits


FAILED = "FAILED"
"""Code of a row on which the server fails, found by this package; all other codes are the server's own."""


@dataclass(frozen=True)
class RowFailure:
    """Why one row has no score: a status name such as `INVALID_ARGUMENT`, or `FAILED`; and one sentence."""

    code: str
    reason: str


@dataclass(frozen=True)
class TitleScore:
    """One title's answer; `score` and `label` are `None` if `failure` is set."""

    title: str
    score: float | None
    label: str | None
    failure: RowFailure | None


@dataclass(frozen=True)
class QueryScores:
    """Answers to one query, in the order of the titles asked for."""

    titles: tuple[TitleScore, ...]
    model: ModelRef


@dataclass(frozen=True)
class BatchScores:
    """Answers to a batch, row by row.

    Attributes
    ----------
    scores
        One per row, 0 to 1; NaN for the rows in `failures`.
    labels
        One per row: position in `ModelInfo.labels`; 0 for the rows in `failures`.
    failures
        Row position to the reason why it has no score.
    model
        The model that scored every row; `None` if no row has a score.
    """

    scores: Sequence[float]
    labels: Sequence[int]
    failures: Mapping[int, RowFailure]
    model: ModelRef | None
