"""The engine: one thread that takes batches from the queue, scores them and hands each request its own rows.

It is the core that every protocol adapter calls, and knows none of them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic, perf_counter

import numpy as np
from numpy.typing import NDArray

from grpc_server.errors import DeadlineError, ScoringError
from grpc_server.models import ServedModels
from grpc_server.observer import NOBODY, BatchReport, Observer, TextUse
from grpc_server.pace import ObservedPace
from grpc_server.queue import Dropped, Lane, Work, WorkQueue
from relevance_model import Bundle, Pairs, Scorer, Scores

log = logging.getLogger(__name__)

# A piece of work is costed before it is encoded: WordPiece yields about one token for this many UTF-8 characters.
_CHARACTERS_PER_TOKEN = 4
_SPECIAL_TOKENS = 3


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
    queue_seconds, encode_seconds, infer_seconds
        Waiting time of this request, and the stages of the batch (or batches) that held it.
    """

    bundle: Bundle
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
    models
        What is served.
    max_queued_tokens, batch_tokens
        See :class:`~grpc_server.queue.WorkQueue`. A request of more than ``batch_tokens`` is cut into several pieces of
        work, so that it cannot keep a person waiting for longer than one batch.
    observer
        Told of requests and batches.

    Attributes
    ----------
    models
        As given.
    queue
        Where work waits; for looking, not for touching.
    """

    def __init__(
        self, models: ServedModels, *, max_queued_tokens: int, batch_tokens: int, observer: Observer = NOBODY
    ) -> None:
        self.models = models
        self._observer = observer
        self._batch_tokens = batch_tokens
        self._pace = ObservedPace()
        self.queue = WorkQueue(
            max_tokens=max_queued_tokens, batch_tokens=batch_tokens, pace=self._pace, on_drop=self._dropped
        )
        self._waiters: dict[Work, asyncio.Future[Answer]] = {}
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start taking work."""
        self._thread.start()

    async def score(
        self, pairs: Pairs, *, scorer: Scorer, lane: Lane, deadline: float | None, request_id: str
    ) -> Answer:
        """Queue ``pairs`` and wait for the answer.

        Parameters
        ----------
        pairs
            The rows.
        scorer
            The model that must answer, from ``models``.
        lane
            Where the rows wait.
        deadline
            Seconds from now within which the answer is of use.
        request_id
            For the log and the trace.

        Raises
        ------
        UnavailableError
            At once, if the lane is full or the queue closed.
        DeadlineError
            If the deadline passed in the queue or cannot be met.
        ScoringError
            If the model failed.
        """
        until = None if deadline is None else monotonic() + deadline
        self._observer.entered(request_id, len(pairs), lane.value)
        context = copy_context()
        parts = [
            Work(part, tokens, lane, scorer, until, request_id, context)
            for part, tokens in cut_to_budget(pairs, self._batch_tokens)
        ]
        futures = [self._loop.create_future() for _ in parts]
        self._waiters.update(zip(parts, futures, strict=True))
        try:
            self.queue.offer(parts)
            log.debug("work accepted", extra={"request_id": request_id, "rows": len(pairs), "lane": lane.value})
            return _joined([await future for future in futures])
        finally:
            for part, future in zip(parts, futures, strict=True):
                part.abandoned = True
                self._waiters.pop(part, None)
                future.cancel()

    async def drain(self) -> None:
        """Refuse new work and return when all that waited is answered."""
        self.queue.close()
        await self._finished.wait()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            # Waited for on the loop and not by joining: a batch that takes too long must not hold the exit.
            self._loop.call_soon_threadsafe(self._finished.set)

    def _work(self) -> None:
        while batch := self.queue.take():
            started = perf_counter()
            try:
                self._score(batch)
            except Exception:
                names = [work.request_id for work in batch]
                log.exception("a batch failed; its requests are tried alone", extra={"request_ids": names})
                self._score_alone(batch)
            self._pace.observe(sum(work.tokens for work in batch), perf_counter() - started)

    def _score(self, batch: list[Work]) -> None:
        scorer = batch[0].group
        assert isinstance(scorer, Scorer)
        started = perf_counter()
        before = _text_counts(scorer)
        result = scorer.score(Pairs.concat([work.pairs for work in batch]))
        self._observer.batch_scored(_report(batch, scorer, result, before, perf_counter() - started))
        answers: list[Answer] = []
        start = 0
        for work in batch:
            answers.append(_cut(scorer.bundle, result, start, start + len(work.pairs), work.taken - work.enqueued))
            start += len(work.pairs)
        self._loop.call_soon_threadsafe(self._deliver, batch, answers)

    def _score_alone(self, batch: list[Work]) -> None:
        """Score each request by itself, so that only the one that breaks the model sees an error."""
        for work in batch:
            try:
                self._score([work])
            except Exception:
                log.exception("a request failed", extra={"request_id": work.request_id})
                self._observer.rows_lost(len(work.pairs), "failed")
                self._fail(work, lambda: ScoringError("the model failed on this request"))

    def _dropped(self, work: Work, reason: Dropped) -> None:
        log.debug("work dropped", extra={"request_id": work.request_id, "reason": reason.value})
        self._observer.rows_lost(len(work.pairs), reason.value)
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


def estimate_tokens(pairs: Pairs) -> NDArray[np.int64]:
    """Return about how many tokens the model must read for each row, without encoding it; int64 [rows]."""
    query_sizes = np.fromiter(map(len, pairs.queries), np.int64, len(pairs.queries))
    title_sizes = np.fromiter(map(len, pairs.titles), np.int64, len(pairs.titles))
    characters = query_sizes[pairs.query_index] + title_sizes[pairs.title_index]
    return characters // _CHARACTERS_PER_TOKEN + _SPECIAL_TOKENS


def cut_to_budget(pairs: Pairs, budget: int) -> list[tuple[Pairs, int]]:
    """Cut ``pairs`` into runs of rows of up to ``budget`` tokens each, at least one row; with each run's tokens."""
    tokens = estimate_tokens(pairs)
    total = int(tokens.sum())
    if total <= budget:
        return [(pairs, total)]
    running = np.cumsum(tokens)
    parts = []
    start = 0
    while start < len(pairs):
        done = int(running[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(running, done + budget, side="right")))
        parts.append((pairs.rows(start, stop), int(running[stop - 1]) - done))
        start = stop
    return parts


def _cut(bundle: Bundle, result: Scores, start: int, stop: int, queue_seconds: float) -> Answer:
    return Answer(
        bundle=bundle,
        scores=result.scores[start:stop],
        labels=result.labels[start:stop],
        faults={row - start: fault for row, fault in result.faults.items() if start <= row < stop},
        queue_seconds=queue_seconds,
        encode_seconds=result.encode_seconds,
        infer_seconds=result.infer_seconds,
    )


def _text_counts(scorer: Scorer) -> dict[str, TextUse]:
    columns = {"query": scorer.queries.cache, "title": scorer.titles.cache}
    return {name: TextUse(cache.hits, cache.misses) for name, cache in columns.items()}


def _report(
    batch: list[Work], scorer: Scorer, result: Scores, before: dict[str, TextUse], seconds: float
) -> BatchReport:
    after = _text_counts(scorer)
    manifest = scorer.bundle.manifest
    return BatchReport(
        model=manifest.name,
        version=manifest.version,
        lane=batch[0].lane.value,
        rows=len(result.scores),
        invalid_rows=len(result.faults),
        tokens=sum(work.tokens for work in batch),
        seconds=seconds,
        encode_seconds=result.encode_seconds,
        infer_seconds=result.infer_seconds,
        queue_seconds=[work.taken - work.enqueued for work in batch],
        texts={
            name: TextUse(use.hits - before[name].hits, use.misses - before[name].misses) for name, use in after.items()
        },
        contexts=[work.context for work in batch],
    )


def _joined(parts: list[Answer]) -> Answer:
    """Put the answers to one request's parts together again."""
    if len(parts) == 1:
        return parts[0]
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
        encode_seconds=sum(part.encode_seconds for part in parts),
        infer_seconds=sum(part.infer_seconds for part in parts),
    )
