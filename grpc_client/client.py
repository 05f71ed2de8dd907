"""The client: one method for each call of the service."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from grpc_client.call import CallExecutor
from grpc_client.config import ClientConfig, ModelRef
from grpc_client.errors import ClientClosedError, RequestRejectedError, ResponseMismatchError
from grpc_client.isolation import FaultPolicy, score_isolating
from grpc_client.pair_batch import PairBatch
from grpc_client.results import (
    FAILED,
    BatchScores,
    Explanation,
    Limits,
    ModelInfo,
    QueryScores,
    RowError,
    TitleScore,
    WordContribution,
)
from grpc_client.stats import ClientStats
from grpc_client.transport.credentials import BearerToken
from relevance_stubs.relevance.v1 import relevance_pb2 as pb


class RelevanceClient:
    """A client of the relevance service; safe to use from many threads.

    The first call opens the channels. A client that was made before a fork opens others in the child, and has a limit
    and counters of its own there.

    Parameters
    ----------
    config
        Where the service is, and the limits of a call.

    Examples
    --------
    >>> with RelevanceClient(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
    ...     client.score_batch(["kettle"], ["Kettle 2 l", "Red shoes"], query_index=[0, 0]).scores
    [0.98, 0.01]
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        # By process id, without a lock: a fork could happen while another thread holds it.
        self._executors: dict[int, CallExecutor] = {}
        self._closed = False
        self._info: ModelInfo | None = None
        self._token = None if config.token_file is None else BearerToken(config.token_file)

    def __enter__(self) -> RelevanceClient:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End all calls, those that wait as well, and close the channels; may be called from any thread."""
        self._closed = True
        executor = self._executors.pop(os.getpid(), None)
        if executor is not None:
            executor.close()

    def stats(self) -> ClientStats:
        """Return the counts of this process so far."""
        executor = self._executors.get(os.getpid())
        return ClientStats() if executor is None else executor.counters.snapshot(executor.in_flight)

    def model(self) -> ModelInfo:
        """Return the served model and the server's limits, by a call.

        Raises
        ------
        ClientError
            If there is no answer (see `grpc_client.errors`).
        """
        response = self._executor().call("GetModel", pb.GetModelRequest())
        limits = response.limits
        info = ModelInfo(
            ref=_ref(response.model),
            sha256=response.sha256,
            labels=tuple(response.labels),
            threshold=response.threshold,
            limits=Limits(
                max_rows=limits.max_rows,
                max_text_bytes=limits.max_text_bytes,
                max_message_bytes=limits.max_message_bytes,
                max_queued_tokens=limits.max_queued_tokens,
                max_query_tokens=limits.max_query_tokens,
                max_title_tokens=limits.max_title_tokens,
            ),
        )
        self._check_model(info.ref)
        self._info = info
        return info

    def model_named(self, ref: ModelRef) -> ModelInfo:
        """Return the description of the model `ref`, by a call only if it is not the model seen last.

        Raises
        ------
        ResponseMismatchError
            If the server that answers now serves another model.
        """
        info = self._info
        if info is None or info.ref != ref:
            info = self.model()
        if info.ref != ref:
            raise ResponseMismatchError(
                f"the servers behind {self.config.target} serve different models: {ref} and {info.ref}"
            )
        return info

    def score(self, query: str, titles: Sequence[str]) -> QueryScores:
        """Score one query against one or more titles.

        Raises
        ------
        ClientError
            If the request as a whole failed. A title that cannot be scored has its `error` set instead.
        """
        with _sendable():
            request = pb.ScoreRequest(query=query, titles=titles, model=self._pinned())
        response = self._executor().call("Score", request)
        if len(response.results) != len(titles):
            raise ResponseMismatchError(
                f"{self.config.target} answered {len(response.results)} titles where {len(titles)} were asked"
            )
        ref = _ref(response.model)
        self._check_model(ref)
        results = tuple(
            TitleScore(
                title=result.title,
                score=result.score if result.HasField("score") else None,
                label=result.label or None,
                error=_row_error(result.error) if result.HasField("error") else None,
            )
            for result in response.results
        )
        return QueryScores(titles=results, model=ref)

    def explain(self, query: str, title: str) -> Explanation:
        """Explain the score of one pair: what each word adds to it.

        Raises
        ------
        ClientError
            If there is no answer; `RequestRejectedError` if the pair has no score or no explanations are offered.
        """
        with _sendable():
            request = pb.ExplainRequest(query=query, title=title, model=self._pinned())
        response = self._executor().call("Explain", request)
        ref = _ref(response.model)
        self._check_model(ref)
        return Explanation(
            query=_contributions(response.query),
            title=_contributions(response.title),
            unread_query_words=response.unread_query_words,
            unread_title_words=response.unread_title_words,
            score=response.score,
            label=response.label,
            logit=response.logit,
            baseline_logit=response.baseline_logit,
            exact=response.exact,
            pairs=response.pairs,
            model=ref,
        )

    def score_batch(
        self,
        queries: Sequence[str],
        titles: Sequence[str],
        query_index: Sequence[int] = (),
        title_index: Sequence[int] = (),
        *,
        stop: threading.Event | None = None,
    ) -> BatchScores:
        """Score many pairs: row i is `(queries[query_index[i]], titles[title_index[i]])`.

        A column whose index is empty is read row by row. A batch that gRPC finds too large, or on which the server
        fails, is split in half, repeatedly: only the rows at fault get a row error.

        Parameters
        ----------
        queries, titles
            The distinct texts of each column, or one per row.
        query_index, title_index
            Position of each row's text, or empty.
        stop
            Ends the waits between attempts when set.

        Returns
        -------
        BatchScores
            One score and label per row; rows without a score are in `errors`.

        Raises
        ------
        ClientError
            If the request as a whole failed, or too many rows did (`ClientConfig.max_failed_ratio`).
        """
        batch = PairBatch(queries, titles, query_index, title_index)
        return score_isolating(batch, partial(self._send, stop=stop), self._executor().counters.add_failed_row)

    def _send(self, batch: PairBatch, policy: FaultPolicy, stop: threading.Event | None) -> BatchScores:
        with _sendable():
            request = pb.ScoreBatchRequest(
                queries=batch.queries,
                titles=batch.titles,
                query_index=batch.query_index,
                title_index=batch.title_index,
                model=self._pinned(),
            )
        executor = self._executor()
        response = executor.call("ScoreBatch", request, stop, policy)
        answer = self._checked(response, batch.rows)
        failed = self._refused_by_lower_limit(answer, batch, response.max_text_bytes)
        executor.counters.add(rows=batch.rows - len(failed))
        for error in failed.values():
            executor.counters.add_failed_row(error.reason)
        return replace(answer, errors={**answer.errors, **failed}) if failed else answer

    def _refused_by_lower_limit(self, answer: BatchScores, batch: PairBatch, server_limit: int) -> dict[int, RowError]:
        """Return errors for the rows that this server refused by a limit lower than `ClientConfig.max_text_bytes`."""
        promised = self.config.max_text_bytes
        if not answer.errors or promised is None or not 0 < server_limit < promised:
            return {}
        too_long = [
            {position for position, text in enumerate(texts) if len(text.encode()) > server_limit}
            for texts in (batch.queries, batch.titles)
        ]
        reason = f"this server takes texts of {server_limit} bytes, others of the same target {promised}"
        return {
            row: RowError(FAILED, reason)
            for row in answer.errors
            if any(position in long for position, long in zip(batch.positions(row), too_long, strict=True))
        }

    def _checked(self, response: pb.ScoreBatchResponse, rows: int) -> BatchScores:
        scores, labels = list(response.scores), list(response.labels)
        if len(scores) != rows or len(labels) != rows:
            raise ResponseMismatchError(
                f"{self.config.target} answered {len(scores)} scores and {len(labels)} labels for {rows} rows"
            )
        errors = {error.row: _row_error(error) for error in response.errors}
        if errors and max(errors) >= rows:
            raise ResponseMismatchError(f"{self.config.target} reported row {max(errors)} of a batch of {rows} rows")
        # NaN compares false with everything, so it is caught here as well.
        impossible = [row for row, score in enumerate(scores) if not 0.0 <= score <= 1.0 and row not in errors]
        if impossible:
            raise ResponseMismatchError(
                f"{self.config.target} gave row {impossible[0]} the score {scores[impossible[0]]}, expected 0 to 1"
            )
        ref = _ref(response.model)
        self._check_model(ref)
        return BatchScores(scores=scores, labels=labels, errors=errors, model=ref)

    def _check_model(self, ref: ModelRef) -> None:
        wanted = self.config.model
        if wanted is not None and not wanted.is_met_by(ref):
            contents = " of other contents" if str(ref) == str(wanted) else ""
            raise ResponseMismatchError(f"{self.config.target} answered by model {ref}{contents}, expected {wanted}")

    def _pinned(self) -> pb.ModelVersion | None:
        pin = self.config.model
        return None if pin is None else pb.ModelVersion(name=pin.name, version=pin.version, sha256=pin.sha256)

    def _executor(self) -> CallExecutor:
        if self._closed:
            raise ClientClosedError(f"the client of {self.config.target} is closed")
        pid = os.getpid()
        # An executor that another thread makes at the same time has opened nothing yet, and is dropped.
        executor = self._executors.get(pid) or self._executors.setdefault(pid, CallExecutor(self.config, self._token))
        if self._closed:  # by another thread, which may not have seen this executor
            executor.close()
        return executor


@contextmanager
def _sendable() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:
        raise RequestRejectedError("a text is not valid UTF-8 and cannot be sent", "INVALID_ARGUMENT") from None


def _ref(model: pb.ModelVersion) -> ModelRef:
    return ModelRef(model.name, model.version, model.sha256)


def _contributions(words: Iterable[pb.WordContribution]) -> tuple[WordContribution, ...]:
    return tuple(WordContribution(word.word, word.contribution, word.standard_error) for word in words)


def _row_error(error: pb.RowError) -> RowError:
    try:
        code = pb.RowErrorCode.Name(error.code).removeprefix("ROW_ERROR_CODE_")
    except ValueError:
        code = f"CODE_{int(error.code)}"  # a newer server knows more codes
    return RowError(code=code, reason=error.reason)
