"""Between wire messages and the model's own types; no decision is taken here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grpc_server.core.results import Answer
from relevance_model import Bundle, Pairs, RequestError, Scorer
from relevance_stubs.relevance.v1 import relevance_pb2 as pb


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of one request, announced by `GetModel`."""

    max_rows: int
    max_message_bytes: int
    max_queued_tokens: int


class ModelAsked(NamedTuple):
    """The model that a request asks for; an empty word stands for any."""

    name: str
    version: str
    sha256: str


def asked_model(model: pb.ModelVersion) -> ModelAsked:
    """Read it: the strings alone, for a sub-message keeps its whole message in memory."""
    return ModelAsked(model.name, model.version, model.sha256)


def pairs_of_score(request: pb.ScoreRequest, limits: RequestLimits) -> Pairs:
    """Read `Score`'s rows.

    Raises
    ------
    RequestError
        If there are no titles, or too many.
    """
    if not request.titles:
        raise RequestError("titles", "at least one title is needed")
    rows = len(request.titles)
    check_rows(rows, "titles", limits)
    return Pairs([request.query], list(request.titles), np.zeros(rows, np.int64), np.arange(rows))


def pairs_of_batch(request: pb.ScoreBatchRequest, limits: RequestLimits) -> Pairs:
    """Read `ScoreBatch`'s rows.

    Raises
    ------
    RequestError
        If an index is out of range, the columns disagree, or there are too many rows.
    """
    # Every column, before any is converted: that costs time and memory by its length.
    for field in ("query_index", "title_index", "queries", "titles"):
        check_rows(len(getattr(request, field)), field, limits)
    return Pairs.from_columns(list(request.queries), list(request.titles), request.query_index, request.title_index)


def check_rows(rows: int, field: str, limits: RequestLimits) -> None:
    """Refuse a request of more than `limits.max_rows`, naming `field`."""
    if rows > limits.max_rows:
        raise RequestError(field, f"{rows} entries, the limit is {limits.max_rows} a request")


def score_response(titles: Sequence[str], answer: Answer) -> pb.ScoreResponse:
    """Write `Score`'s answer for those titles."""
    labels = answer.bundle.manifest.labels
    scores, positions, faults = answer.scores.tolist(), answer.labels.tolist(), answer.faults
    results = []
    for row, title in enumerate(titles):
        if row in faults:
            results.append(pb.TitleScore(title=title, error=_row_error(row, faults[row])))
        else:
            results.append(pb.TitleScore(title=title, score=scores[row], label=labels[positions[row]]))
    return pb.ScoreResponse(results=results, model=model_version(answer.bundle), timings=_timings(answer))


def batch_response(answer: Answer, max_text_bytes: int) -> pb.ScoreBatchResponse:
    """Write `ScoreBatch`'s answer; `max_text_bytes` is the limit on texts that it was given under."""
    return pb.ScoreBatchResponse(
        scores=answer.scores.tolist(),
        labels=answer.labels.tolist(),
        errors=[_row_error(row, fault) for row, fault in answer.faults.items()],
        model=model_version(answer.bundle),
        timings=_timings(answer),
        max_text_bytes=max_text_bytes,
    )


def model_response(scorer: Scorer, limits: RequestLimits) -> pb.GetModelResponse:
    """Describe the served model and the limits."""
    manifest = scorer.bundle.manifest
    return pb.GetModelResponse(
        model=model_version(scorer.bundle),
        sha256=scorer.bundle.sha256,
        labels=manifest.labels,
        threshold=manifest.threshold,
        limits=pb.Limits(
            max_rows=limits.max_rows,
            max_text_bytes=scorer.max_text_bytes,
            max_message_bytes=limits.max_message_bytes,
            max_queued_tokens=limits.max_queued_tokens,
            max_query_tokens=manifest.max_query_tokens,
            max_title_tokens=manifest.max_title_tokens,
        ),
    )


def model_version(bundle: Bundle) -> pb.ModelVersion:
    """Name the bundle."""
    return pb.ModelVersion(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)


def _row_error(row: int, reason: str) -> pb.RowError:
    return pb.RowError(row=row, code=pb.ROW_ERROR_CODE_INVALID_ARGUMENT, reason=reason)


def _timings(answer: Answer) -> pb.Timings:
    return pb.Timings(
        queue_micros=round(answer.queue_seconds * 1e6),
        tokenize_micros=round(answer.tokenize_seconds * 1e6),
        infer_micros=round(answer.infer_seconds * 1e6),
    )
