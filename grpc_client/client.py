"""The caller: three methods for the service's three calls, and one cached client per process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from grpc_client.answers import BatchScores, Limits, ModelInfo, QueryScores, RowFailure, TitleScore
from grpc_client.channel import open_channel
from grpc_client.columns import PairColumns
from grpc_client.config import ClientConfig, ModelRef
from grpc_client.credentials import BearerToken
from grpc_client.errors import ClientClosed, MessageTooLarge, RequestRejected, ResponseMismatch
from grpc_client.retry import call_with_retry
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc as pb_grpc


class RelevanceClient:
    """A caller of the relevance service; safe to use from many threads.

    Its channel is opened by the first call, in the process that makes that call: a client that was made before a fork
    opens another one in the child.

    Parameters
    ----------
    config
        Where the service is and how patient to be.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._channels: dict[int, tuple[grpc.Channel, Any]] = {}
        self._closed = threading.Event()
        self._info: ModelInfo | None = None
        self._token = None if config.token_file is None else BearerToken(config.token_file)

    def __enter__(self) -> RelevanceClient:
        """Give the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the channel and end every wait for a repetition; running calls are cancelled."""
        self._closed.set()
        with self._lock:
            opened = self._channels.pop(os.getpid(), None)
        if opened is not None:
            opened[0].close()

    def model(self) -> ModelInfo:
        """Ask which model is served and what the server accepts.

        Raises
        ------
        ClientError
            If there is no answer (see `grpc_client.errors`).
        """
        response = call_with_retry(self._stub().GetModel, pb.GetModelRequest(), self.config, self._closed, self._token)
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
        ResponseMismatch
            If the server that answers now serves another model.
        """
        info = self._info
        if info is None or info.ref != ref:
            info = self.model()
        if info.ref != ref:
            raise ResponseMismatch(
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
        response = call_with_retry(self._stub().Score, request, self.config, self._closed, self._token)
        if len(response.results) != len(titles):
            raise ResponseMismatch(
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
        """Score many pairs: row i is ``(queries[query_index[i]], titles[title_index[i]])``.

        A column whose index is empty is read row by row. A batch that gRPC finds too large is cut in half, as often as
        it takes.

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
            If the request as a whole failed.
        """
        columns = PairColumns(queries, titles, query_index, title_index)
        return self._score_columns(columns, stop if stop is not None else self._closed)

    def _score_columns(self, columns: PairColumns, stop: threading.Event) -> BatchScores:
        with _sendable():
            request = pb.ScoreBatchRequest(
                queries=columns.queries,
                titles=columns.titles,
                query_index=columns.query_index,
                title_index=columns.title_index,
                model=self._pinned(),
            )
        try:
            response = call_with_retry(self._stub().ScoreBatch, request, self.config, stop, self._token)
        except MessageTooLarge:
            if columns.rows < 2:
                raise
        else:
            return self._checked(response, columns.rows)
        left, right = (self._score_columns(half, stop) for half in columns.halves())
        if left.model != right.model:
            raise ResponseMismatch(f"{self.config.target} scored one batch by {left.model} and {right.model}")
        shift = len(left.scores)
        return BatchScores(
            scores=[*left.scores, *right.scores],
            labels=[*left.labels, *right.labels],
            failures={**left.failures, **{row + shift: failure for row, failure in right.failures.items()}},
            model=left.model,
        )

    def _checked(self, response: pb.ScoreBatchResponse, rows: int) -> BatchScores:
        scores, labels = list(response.scores), list(response.labels)
        if len(scores) != rows or len(labels) != rows:
            raise ResponseMismatch(
                f"{self.config.target} answered {len(scores)} scores and {len(labels)} labels for {rows} rows"
            )
        failures = {error.row: _failure(error) for error in response.errors}
        if failures and max(failures) >= rows:
            raise ResponseMismatch(f"{self.config.target} reported row {max(failures)} of a batch of {rows} rows")
        # NaN compares false with everything, so it is caught here as well.
        impossible = [row for row, score in enumerate(scores) if not 0.0 <= score <= 1.0 and row not in failures]
        if impossible:
            raise ResponseMismatch(
                f"{self.config.target} gave row {impossible[0]} the score {scores[impossible[0]]}, expected 0 to 1"
            )
        ref = _ref(response.model)
        self._check_model(ref)
        return BatchScores(scores=scores, labels=labels, failures=failures, model=ref)

    def _check_model(self, ref: ModelRef) -> None:
        if self.config.model is not None and ref != self.config.model:
            raise ResponseMismatch(f"{self.config.target} answered by model {ref}, expected {self.config.model}")

    def _pinned(self) -> pb.ModelVersion | None:
        pin = self.config.model
        return None if pin is None else pb.ModelVersion(name=pin.name, version=pin.version)

    def _stub(self) -> Any:
        # Any: the generated stub has two faces, for grpc and grpc.aio, and mypy cannot tell which this one is.
        if self._closed.is_set():
            raise ClientClosed(f"the client of {self.config.target} is closed")
        pid = os.getpid()
        with self._lock:
            if pid not in self._channels:
                channel = open_channel(self.config.target, self.config.retry, self.config.tls)
                self._channels[pid] = (channel, pb_grpc.RelevanceServiceStub(channel))
            return self._channels[pid][1]


_cache: dict[tuple[int, ClientConfig], RelevanceClient] = {}
_cache_lock = threading.Lock()


def client_for(config: ClientConfig) -> RelevanceClient:
    """Give this process's client for `config`, made at the first call and shared afterwards.

    Entries that a forked child inherits stay untouched: closing them would reach into the parent's gRPC state.
    """
    key = (os.getpid(), config)
    with _cache_lock:
        client = _cache.get(key)
        if client is None or client._closed.is_set():
            client = _cache[key] = RelevanceClient(config)
        return client


def _renew_lock() -> None:
    # Another thread of the parent may have held the lock at the moment of the fork; nobody would release it here.
    global _cache_lock  # noqa: PLW0603
    _cache_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def _sendable() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError:
        raise RequestRejected("a text is not valid UTF-8 and cannot be sent", "INVALID_ARGUMENT") from None


def _ref(model: pb.ModelVersion) -> ModelRef:
    return ModelRef(model.name, model.version)


def _failure(error: pb.RowError) -> RowFailure:
    try:
        code = pb.RowErrorCode.Name(error.code).removeprefix("ROW_ERROR_CODE_")
    except ValueError:
        code = f"CODE_{int(error.code)}"  # a newer server knows more codes
    return RowFailure(code=code, reason=error.reason)
