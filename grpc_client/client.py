"""The caller: three methods for the service's three calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from grpc_client.call import CallExecutor
from grpc_client.config import ClientConfig, ModelRef
from grpc_client.errors import ClientClosedError, RequestRejectedError, ResponseMismatchError
from grpc_client.isolation import FaultPolicy, score_isolating
from grpc_client.pair_batch import PairBatch
from grpc_client.results import FAILED, BatchScores, Limits, ModelInfo, QueryScores, RowFailure, TitleScore
from grpc_client.stats import ClientStats
from grpc_client.transport.credentials import BearerToken
from relevance_stubs.relevance.v1 import relevance_pb2 as pb


class RelevanceClient:
    """A caller of the relevance service; safe to use from many threads.

    Its channels are opened by the first call, in the process that makes that call: a client that was made before a fork
    opens others in the child, and has a limit and counters of its own there.

    Parameters
    ----------
    config
        Where the service is and how patient to be.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        # By process. There is no lock around it that another thread could hold at the moment of a fork.
        self._callers: dict[int, CallExecutor] = {}
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
        """End every call, whether it runs or waits, and close the channels; may be called from any thread."""
        self._closed = True
        caller = self._callers.pop(os.getpid(), None)
        if caller is not None:
            caller.close()

    def stats(self) -> ClientStats:
        """Say what was done so far in this process."""
        caller = self._callers.get(os.getpid())
        return ClientStats() if caller is None else caller.counters.snapshot(caller.in_flight)

    def model(self) -> ModelInfo:
        """Ask which model is served and what the server accepts.

        Raises
        ------
        ClientError
            If there is no answer (see `grpc_client.errors`).
        """
        response = self._caller().call("GetModel", pb.GetModelRequest())
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
        """Describe the model that gave an answer, asking the server only if it is not the one seen last.

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
            If the request as a whole failed; a title that cannot be scored only has its `failure` set.
        """
        with _sendable():
            request = pb.ScoreRequest(query=query, titles=titles, model=self._pinned())
        response = self._caller().call("Score", request)
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
                failure=_failure(result.error) if result.HasField("error") else None,
            )
            for result in response.results
        )
        return QueryScores(titles=results, model=ref)

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

        A column whose index is empty is read row by row. A batch that gRPC finds too large, or that the server fails
        on, is cut in half, as often as it takes: only the rows at fault go without a score.

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
            One score and label per row; rows that failed alone are in `failures`.

        Raises
        ------
        ClientError
            If the request as a whole failed, or too many rows did (`ClientConfig.max_failed_ratio`).
        """
        columns = PairBatch(queries, titles, query_index, title_index)
        return score_isolating(columns, partial(self._send, stop=stop), self._caller().counters.add_failed_row)

    def _send(self, columns: PairBatch, tolerance: FaultPolicy, stop: threading.Event | None) -> BatchScores:
        with _sendable():
            request = pb.ScoreBatchRequest(
                queries=columns.queries,
                titles=columns.titles,
                query_index=columns.query_index,
                title_index=columns.title_index,
                model=self._pinned(),
            )
        caller = self._caller()
        response = caller.call("ScoreBatch", request, stop, tolerance)
        answer = self._checked(response, columns.rows)
        unkept = self._refused_by_setting(answer, columns, response.max_text_bytes)
        caller.counters.add(rows=columns.rows - len(unkept))
        for failure in unkept.values():
            caller.counters.add_failed_row(failure.reason)
        return replace(answer, failures={**answer.failures, **unkept}) if unkept else answer

    def _refused_by_setting(self, answer: BatchScores, columns: PairBatch, server_limit: int) -> dict[int, RowFailure]:
        """Find the rows that this server refused by a limit lower than the one that every server must keep to."""
        promised = self.config.max_text_bytes
        if not answer.failures or promised is None or not 0 < server_limit < promised:
            return {}
        too_long = [
            {place for place, text in enumerate(texts) if len(text.encode()) > server_limit}
            for texts in (columns.queries, columns.titles)
        ]
        reason = f"this server takes texts of {server_limit} bytes, others of the same target {promised}"
        return {
            row: RowFailure(FAILED, reason)
            for row in answer.failures
            if any(place in long for place, long in zip(columns.places(row), too_long, strict=True))
        }

    def _checked(self, response: pb.ScoreBatchResponse, rows: int) -> BatchScores:
        scores, labels = list(response.scores), list(response.labels)
        if len(scores) != rows or len(labels) != rows:
            raise ResponseMismatchError(
                f"{self.config.target} answered {len(scores)} scores and {len(labels)} labels for {rows} rows"
            )
        failures = {error.row: _failure(error) for error in response.errors}
        if failures and max(failures) >= rows:
            raise ResponseMismatchError(f"{self.config.target} reported row {max(failures)} of a batch of {rows} rows")
        # NaN compares false with everything, so it is caught here as well.
        impossible = [row for row, score in enumerate(scores) if not 0.0 <= score <= 1.0 and row not in failures]
        if impossible:
            raise ResponseMismatchError(
                f"{self.config.target} gave row {impossible[0]} the score {scores[impossible[0]]}, expected 0 to 1"
            )
        ref = _ref(response.model)
        self._check_model(ref)
        return BatchScores(scores=scores, labels=labels, failures=failures, model=ref)

    def _check_model(self, ref: ModelRef) -> None:
        wanted = self.config.model
        if wanted is not None and not wanted.is_met_by(ref):
            contents = " of other contents" if str(ref) == str(wanted) else ""
            raise ResponseMismatchError(f"{self.config.target} answered by model {ref}{contents}, expected {wanted}")

    def _pinned(self) -> pb.ModelVersion | None:
        pin = self.config.model
        return None if pin is None else pb.ModelVersion(name=pin.name, version=pin.version, sha256=pin.sha256)

    def _caller(self) -> CallExecutor:
        if self._closed:
            raise ClientClosedError(f"the client of {self.config.target} is closed")
        pid = os.getpid()
        # A second one that another thread makes at the same time has opened nothing yet, and is dropped.
        caller = self._callers.get(pid) or self._callers.setdefault(pid, CallExecutor(self.config, self._token))
        if self._closed:  # by another thread, which may not have seen this caller
            caller.close()
        return caller


@contextmanager
def _sendable() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:
        raise RequestRejectedError("a text is not valid UTF-8 and cannot be sent", "INVALID_ARGUMENT") from None


def _ref(model: pb.ModelVersion) -> ModelRef:
    return ModelRef(model.name, model.version, model.sha256)


def _failure(error: pb.RowError) -> RowFailure:
    try:
        code = pb.RowErrorCode.Name(error.code).removeprefix("ROW_ERROR_CODE_")
    except ValueError:
        code = f"CODE_{int(error.code)}"  # a newer server knows more codes
    return RowFailure(code=code, reason=error.reason)
