"""Results of the calls, as plain values without protobuf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grpc_client.config import ModelRef


@dataclass(frozen=True)
class Limits:
    """Limits that the server enforces; documented at the proto's `Limits`."""

    max_rows: int
    max_text_bytes: int
    max_message_bytes: int
    max_queued_tokens: int
    max_query_tokens: int
    max_title_tokens: int


@dataclass(frozen=True)
class ModelInfo:
    """The served model: name and version, names of its labels, threshold, and the server's limits."""

    ref: ModelRef
    sha256: str
    labels: tuple[str, ...]
    threshold: float
    limits: Limits


FAILED = "FAILED"
"""Code that this package gives to a row on which the server fails; all other codes come from the server."""


@dataclass(frozen=True)
class RowError:
    """Why a row has no score: a status name such as `INVALID_ARGUMENT`, or `FAILED`; and one sentence."""

    code: str
    reason: str


@dataclass(frozen=True)
class TitleScore:
    """Result for one title; `score` and `label` are None if `error` is set."""

    title: str
    score: float | None
    label: str | None
    error: RowError | None


@dataclass(frozen=True)
class QueryScores:
    """Results for one query, in the order of the titles."""

    titles: tuple[TitleScore, ...]
    model: ModelRef


@dataclass(frozen=True)
class WordContribution:
    """A word, what it adds to the logit of the score, and the standard error of that; 0 if it is exact."""

    word: str
    contribution: float
    standard_error: float


@dataclass(frozen=True)
class Explanation:
    """Why a pair has its score; documented at the proto's `ExplainResponse`.

    The contributions of all words sum to `logit - baseline_logit`.
    """

    query: tuple[WordContribution, ...]
    title: tuple[WordContribution, ...]
    unread_query_words: int
    unread_title_words: int
    score: float
    label: str
    logit: float
    baseline_logit: float
    exact: bool
    pairs: int
    model: ModelRef


@dataclass(frozen=True)
class BatchScores:
    """Results for a batch, row by row.

    Attributes
    ----------
    scores
        One per row, 0 to 1; NaN for the rows in `errors`.
    labels
        One per row: position in `ModelInfo.labels`; 0 for the rows in `errors`.
    failures
        Row errors by row number.
    model
        The model that scored every row; `None` if no row has a score.
    """

    scores: Sequence[float]
    labels: Sequence[int]
    errors: Mapping[int, RowError]
    model: ModelRef | None
