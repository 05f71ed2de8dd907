"""The engine: one thread that takes batches from the queue, scores them and hands each request its own rows."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter

import numpy as np
from numpy.typing import NDArray

from grpc_server.errors import DeadlineError, ScoringError
from grpc_server.pace import ObservedPace
from grpc_server.queue import Dropped, Work, WorkQueue
from relevance_model import Pairs, Scorer, Scores

log = logging.getLogger(__name__)

# A piece of work is costed before it is encoded: WordPiece yields about one token for this many UTF-8 characters.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's scores.

    Attributes
    ----------
    scores
        float32 [rows]; NaN where the row failed.
    labels
        uint8 [rows].
    faults
        Row number to reason, ascending.
    queue_seconds, encode_seconds, infer_seconds
        Waiting time of this request, and the stages of the batch that held it.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.uint8]
    faults: dict[int, str]
    queue_seconds: float
    encode_seconds: float
    infer_seconds: float


class Engine:
    """Scores requests from an event loop on a thread of its own.

    Parameters
    ----------
    scorer
        The model.
    max_queued_rows, batch_tokens
        See :class:`~grpc_server.queue.WorkQueue`.
    """

    def __init__(self, scorer: Scorer, *, max_queued_rows: int, batch_tokens: int) -> None:
        self.scorer = scorer
        self._pace = ObservedPace()
        self._queue = WorkQueue(
            max_rows=max_queued_rows, batch_tokens=batch_tokens, pace=self._pace, on_drop=self._dropped
        )
        self._waiters: dict[Work, asyncio.Future[Answer]] = {}
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Run one pair through the model, so that the first caller meets warm code, then start taking work."""
        self.scorer.score(Pairs.from_columns(["warm up"], ["warm up"]))
        self._thread.start()

    async def score(self, pairs: Pairs, *, deadline: float | None, request_id: str) -> Answer:
        """Queue ``pairs`` and wait for the answer.

        Parameters
        ----------
        pairs
            The rows.
        deadline
            Seconds from now within which the answer is of use.
        request_id
            For the log.

        Raises
        ------
        UnavailableError
            At once, if the queue is full or closed.
        DeadlineError
            If the deadline passed in the queue or cannot be met.
        ScoringError
            If the model failed.
        """
        work = Work(
            pairs, estimate_tokens(pairs), None if deadline is None else monotonic() + deadline, request_id=request_id
        )
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiters[work] = future
        try:
            self._queue.offer(work)
            return await future
        finally:
            work.abandoned = True
            self._waiters.pop(work, None)

    async def drain(self) -> None:
        """Refuse new work and return when all that waited is answered."""
        self._queue.close()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while batch := self._queue.take():
            started = perf_counter()
            try:
                self._score(batch)
            except Exception:
                log.exception("a batch failed; its requests are tried alone", extra={"requests": len(batch)})
                self._score_alone(batch)
            self._pace.observe(sum(work.tokens for work in batch), perf_counter() - started)

    def _score(self, batch: list[Work]) -> None:
        result = self.scorer.score(Pairs.concat([work.pairs for work in batch]))
        answers: list[Answer] = []
        start = 0
        for work in batch:
            answers.append(_cut(result, start, start + len(work.pairs), work.taken - work.enqueued))
            start += len(work.pairs)
        self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _score_alone(self, batch: list[Work]) -> None:
        """Score each request by itself, so that only the one that breaks the model sees an error."""
        for work in batch:
            try:
                self._score([work])
            except Exception:
                log.exception("a request failed", extra={"request_id": work.request_id})
                self._fail(work, lambda: ScoringError("the model failed on this request"))

    def _dropped(self, work: Work, reason: Dropped) -> None:
        log.debug("work dropped", extra={"request_id": work.request_id, "reason": reason.value})
        if reason is Dropped.DEADLINE:
            self._fail(work, lambda: DeadlineError("the deadline cannot be met"))

    def _fail(self, work: Work, error: Callable[[], Exception]) -> None:
        def settle() -> None:
            future = self._waiters.get(work)
            if future is not None and not future.done():
                future.set_exception(error())

        self._loop.call_soon_threadsafe(settle)

    def _deliver(self, batch: list[Work], answers: list[Answer]) -> None:
        for work, answer in zip(batch, answers, strict=True):
            future = self._waiters.get(work)
            if future is not None and not future.done():
                future.set_result(answer)


def estimate_tokens(pairs: Pairs) -> int:
    """Return about how many tokens the model must read for ``pairs``, without encoding them."""
    query_sizes = np.fromiter(map(len, pairs.queries), np.int64, len(pairs.queries))
    title_sizes = np.fromiter(map(len, pairs.titles), np.int64, len(pairs.titles))
    characters = int(query_sizes[pairs.query_index].sum() + title_sizes[pairs.title_index].sum())
    return characters // _CHARACTERS_PER_TOKEN + 3 * len(pairs)


def _cut(result: Scores, start: int, stop: int, queue_seconds: float) -> Answer:
    return Answer(
        scores=result.scores[start:stop],
        labels=result.labels[start:stop],
        faults={row - start: fault for row, fault in result.faults.items() if start <= row < stop},
        queue_seconds=queue_seconds,
        encode_seconds=result.encode_seconds,
        infer_seconds=result.infer_seconds,
    )
