"""Conversion between the messages of `relevance.v1` and the types of the model and the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from grpc_server.core.explanations import Explained
from grpc_server.core.results import Result
from relevance_model import Bundle, Pairs, RequestError, Scorer, WordContribution
from relevance_stubs.relevance.v1 import relevance_pb2 as pb


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one request, which `GetModel` returns."""

    max_rows: int
    max_message_bytes: int
    max_queued_tokens: int


class RequestedModel(NamedTuple):
    """The model that a request names; an empty string matches any."""

    name: str
    version: str
    sha256: str


def requested_model(model: pb.ModelVersion) -> RequestedModel:
    """Return the strings alone: a reference to the sub-message would keep the whole message in memory."""
    return RequestedModel(model.name, model.version, model.sha256)


def pairs_of_score(request: pb.ScoreRequest, limits: RequestLimits) -> Pairs:
    """Return the rows of a `Score` request.

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
    """Return the rows of a `ScoreBatch` request.

    Raises
    ------
    RequestError
        If an index is out of range, the columns disagree, or there are too many rows.
    """
    # All columns are checked before any is converted: conversion costs time and memory.
    for field in ("query_index", "title_index", "queries", "titles"):
        check_rows(len(getattr(request, field)), field, limits)
    return Pairs.from_columns(list(request.queries), list(request.titles), request.query_index, request.title_index)


def check_rows(rows: int, field: str, limits: RequestLimits) -> None:
    """Raise `RequestError` for `field` if there are more than `limits.max_rows`."""
    if rows > limits.max_rows:
        raise RequestError(field, f"{rows} entries, the limit is {limits.max_rows} a request")


def score_response(titles: Sequence[str], result: Result) -> pb.ScoreResponse:
    """Return the response to `Score` for these titles."""
    labels = result.bundle.manifest.labels
    scores, positions, errors = result.scores.tolist(), result.labels.tolist(), result.row_errors
    results = []
    for row, title in enumerate(titles):
        if row in errors:
            results.append(pb.TitleScore(title=title, error=_row_error(row, errors[row])))
        else:
            results.append(pb.TitleScore(title=title, score=scores[row], label=labels[positions[row]]))
    return pb.ScoreResponse(results=results, model=model_version(result.bundle), timings=_timings(result))


def batch_response(result: Result, max_text_bytes: int) -> pb.ScoreBatchResponse:
    """Return the response to `ScoreBatch`; `max_text_bytes` is the limit on texts that it was computed under."""
    return pb.ScoreBatchResponse(
        scores=result.scores.tolist(),
        labels=result.labels.tolist(),
        errors=[_row_error(row, reason) for row, reason in result.row_errors.items()],
        model=model_version(result.bundle),
        timings=_timings(result),
        max_text_bytes=max_text_bytes,
    )


def explain_response(explained: Explained) -> pb.ExplainResponse:
    """Return the response to `Explain`."""
    found, result = explained.explanation, explained.result
    return pb.ExplainResponse(
        query=map(_word_contribution, found.query),
        title=map(_word_contribution, found.title),
        unread_query_words=found.unread_query_words,
        unread_title_words=found.unread_title_words,
        score=found.score,
        label=result.bundle.manifest.labels[found.label],
        logit=found.logit,
        baseline_logit=found.baseline,
        exact=found.exact,
        pairs=found.pairs,
        model=model_version(result.bundle),
        timings=_timings(result),
    )


def model_response(scorer: Scorer, limits: RequestLimits) -> pb.GetModelResponse:
    """Return the response to `GetModel`."""
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
    """Return the identity of a bundle."""
    return pb.ModelVersion(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)


def _word_contribution(word: WordContribution) -> pb.WordContribution:
    return pb.WordContribution(word=word.word, contribution=word.contribution, standard_error=word.standard_error)


def _row_error(row: int, reason: str) -> pb.RowError:
    return pb.RowError(row=row, code=pb.ROW_ERROR_CODE_INVALID_ARGUMENT, reason=reason)


def _timings(result: Result) -> pb.Timings:
    return pb.Timings(
        queue_micros=round(result.queue_seconds * 1e6),
        tokenize_micros=round(result.tokenize_seconds * 1e6),
        infer_micros=round(result.infer_seconds * 1e6),
    )
