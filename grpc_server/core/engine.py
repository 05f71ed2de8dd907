"""The engine: it takes batches from the queue, scores them and hands each request its own rows.

A thread does so, beside the event loop. But to wake a thread and be woken by it costs as much as to score a pair. So a
lone pair that meets an idle thread is scored where it is, on the loop, at once. In a crowd, the first wait for the
others while the loop is busy with letting them in, which takes longer than to score them: pairs are cheaper together.

The engine is the core that every protocol adapter calls, and knows none of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from time import monotonic, perf_counter
from typing import Protocol

from grpc_server.core.batch_stats import batch_stats, text_counts
from grpc_server.core.observer import NULL_OBSERVER, Observer
from grpc_server.core.queue import Dropped, Lane, Work, WorkQueue
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.results import Answer, cut, join
from grpc_server.core.score_cache import ScoreCache
from grpc_server.core.splitting import charge
from grpc_server.core.throughput import ThroughputEstimator
from grpc_server.errors import DeadlineError, ScoringError
from relevance_model import Pairs, Scorer

log = logging.getLogger(__name__)

# Has a callback called on the event loop.
Tell = Callable[..., object]

# What the event loop may score itself: a few people's pairs, a fraction of a millisecond. Beyond that, or if the model
# is so slow that even this takes long, the loop must not stand still.
_INLINE_MAX_TOKENS = 512
_INLINE_MAX_SECONDS = 3e-3
# How long it takes is the least of so many: one fast batch opens the loop again, one pause counts for nothing.
_LITTLE_BATCHES = 4
# The most that one call may ask of the interactive lane: 64 rows of full length, a few hundredths of a second.
MOST_INTERACTIVE_TOKENS = 6144
# In a crowd: the loop is done with letting calls in if none came for this long; and the longest that the first waits.
_COALESCE_IDLE_SECONDS = 4e-4
_COALESCE_MAX_SECONDS = 4e-3


@dataclass(slots=True, eq=False)
class _Part(Work):
    """A piece of work, and who waits for it."""

    waiter: asyncio.Future[Answer] | None = None


class IncomingCalls(Protocol):
    """What is known of calls that are on their way in, whatever they will ask."""

    coming: int
    newest: float


class _NoIncomingCalls:
    coming = 0
    newest = -math.inf


class Engine:
    """Scores the requests of an event loop.

    Parameters
    ----------
    models
        What is served.
    max_queued_tokens, batch_tokens, mixed_batch_tokens
        See `grpc_server.core.queue.WorkQueue`. A request of more than a batch's tokens is cut into several pieces
        of work, so that it cannot keep a person waiting for longer than one batch.
    observer
        Told of requests and batches.
    incoming_calls
        What is known of calls that are on their way in.
    score_cache_bytes
        See `grpc_server.core.score_cache.ScoreCache`.

    Attributes
    ----------
    models
        As given.
    queue, score_cache
        Where work waits, and what is kept of it; for looking, not for touching.
    broken
        Set when nothing will be scored any more because of a fault in the engine itself; the log has the cause.
    """

    def __init__(
        self,
        models: ModelRegistry,
        *,
        max_queued_tokens: int,
        batch_tokens: int,
        mixed_batch_tokens: int,
        observer: Observer = NULL_OBSERVER,
        incoming_calls: IncomingCalls | None = None,
        score_cache_bytes: int = 0,
    ) -> None:
        self.models = models
        self.score_cache = ScoreCache(score_cache_bytes)
        self._observer = observer
        self._pace = ThroughputEstimator()
        self.queue = WorkQueue(
            max_tokens=max_queued_tokens,
            batch_tokens=batch_tokens,
            mixed_batch_tokens=mixed_batch_tokens,
            pace=self._pace,
            on_drop=self._dropped,
        )
        # How long a little work takes; unknown until the thread has done some.
        self._inline_seconds = math.inf
        self._little_batches: deque[float] = deque(maxlen=_LITTLE_BATCHES)
        self._incoming_calls: IncomingCalls = incoming_calls or _NoIncomingCalls()
        self._gathering_since: float | None = None
        self._coalescing = False
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self.broken = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start taking work."""
        self._thread.start()

    async def score(
        self, pairs: Pairs, *, scorer: Scorer, lane: Lane, deadline: float | None, request_id: str
    ) -> Answer:
        """Queue `pairs` and wait for the answer.

        Parameters
        ----------
        pairs
            The rows.
        scorer
            The model that must answer, from `models`.
        lane
            Where the rows wait. More than `MOST_INTERACTIVE_TOKENS` wait in the bulk lane, whatever this says.
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
        charged = charge(pairs, scorer.bundle.manifest)
        if charged.tokens > MOST_INTERACTIVE_TOKENS:
            lane = Lane.BULK
        self._observer.entered(request_id, len(pairs), lane.value)
        context = copy_context()
        parts = [
            _Part(part, tokens, lane, scorer, until, request_id, context, waiter=self._loop.create_future())
            for part, tokens in charged.cut(self.queue.budget(lane))
        ]
        little = lane is Lane.INTERACTIVE and self._inline_seconds <= _INLINE_MAX_SECONDS
        try:
            self.queue.offer(parts, hold=little)
            if little and self._gathering_since is None:
                self._gathering_since = self._loop.time()
                self._loop.call_soon(self._score_inline)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("work accepted", extra={"request_id": request_id, "rows": len(pairs), "lane": lane.value})
            answers = [await part.waiter for part in parts if part.waiter is not None]
            return answers[0] if len(answers) == 1 else join(answers)
        finally:
            for part in parts:
                part.cancelled = True
                _let_go(part.waiter)

    async def drain(self) -> None:
        """Refuse new work and return when all that waited is answered."""
        self.queue.close()
        await self._finished.wait()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:
            self._break_down()
        finally:
            # Waited for on the loop and not by joining: a batch that takes too long must not hold the exit.
            self._loop.call_soon_threadsafe(self._finished.set)

    def _break_down(self) -> None:
        """Take in nothing more: a queue that nobody works off is worse than none."""
        log.critical("the engine broke down", exc_info=True)
        self.queue.close()
        self._loop.call_soon_threadsafe(self.broken.set)

    def _work(self) -> None:
        while batch := self.queue.take():
            self._do(batch, self._loop.call_soon_threadsafe)

    def _score_inline(self) -> None:
        """See to the interactive work that is held."""
        if self._coalesce():
            self._loop.call_soon(self._score_inline)
            return
        self._gathering_since = None
        if self._coalescing:
            self._coalescing = self.queue.requests(Lane.INTERACTIVE) > 1
            self.queue.release()
            return
        try:
            if batch := self.queue.take_inline(_INLINE_MAX_TOKENS):
                self._do(batch, _at_once)
        except BaseException:
            self._break_down()
            raise

    def _coalesce(self) -> bool:
        """Tell whether to wait for more: there are or were others, and calls still come in."""
        assert self._gathering_since is not None
        self._coalescing = self._coalescing or self.queue.requests(Lane.INTERACTIVE) + self._incoming_calls.coming > 1
        now = self._loop.time()
        return (
            self._coalescing
            and now - self._incoming_calls.newest < _COALESCE_IDLE_SECONDS
            and now - self._gathering_since < _COALESCE_MAX_SECONDS
            and self.queue.tokens(Lane.INTERACTIVE) < _INLINE_MAX_TOKENS
        )

    def _do(self, batch: list[Work], tell: Tell) -> None:
        started = perf_counter()
        try:
            self._score(batch, tell)
        except Exception:
            names = [work.request_id for work in batch]
            log.exception("a batch failed; its requests are tried alone", extra={"request_ids": names})
            self._score_alone(batch, tell)
        seconds = perf_counter() - started
        tokens = sum(work.tokens for work in batch)
        self._pace.observe(tokens, seconds)
        if tokens <= _INLINE_MAX_TOKENS:
            self._little_batches.append(seconds)
            self._inline_seconds = min(self._little_batches)

    def _score(self, batch: list[Work], tell: Tell) -> None:
        scorer = batch[0].group
        assert isinstance(scorer, Scorer)
        started = perf_counter()
        before = text_counts(scorer)
        result, kept = self.score_cache.score(scorer, Pairs.concat([work.pairs for work in batch]))
        report = batch_stats(batch, scorer, result, before, perf_counter() - started)
        self._observer.batch_scored(replace(report, scores=kept) if kept.hits or kept.misses else report)
        answers: list[Answer] = []
        start = 0
        for work in batch:
            answers.append(cut(scorer.bundle, result, start, start + len(work.pairs), work.taken - work.enqueued))
            start += len(work.pairs)
        tell(_deliver, batch, answers)

    def _score_alone(self, batch: list[Work], tell: Tell) -> None:
        """Score each request by itself, so that only the one that breaks the model sees an error."""
        for work in batch:
            try:
                self._score([work], tell)
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
        self._loop.call_soon_threadsafe(_break, work, error)


def _at_once(callback: Callable[..., object], *args: object) -> None:
    callback(*args)


def _deliver(batch: list[Work], answers: list[Answer]) -> None:
    for work, answer in zip(batch, answers, strict=True):
        assert isinstance(work, _Part)
        if work.waiter is not None and not work.waiter.done():
            work.waiter.set_result(answer)


def _break(work: Work, error: Callable[[], Exception]) -> None:
    assert isinstance(work, _Part)
    if work.waiter is not None and not work.waiter.done():
        work.waiter.set_exception(error())


def _let_go(waiter: asyncio.Future[Answer] | None) -> None:
    if waiter is not None and not waiter.cancel() and not waiter.cancelled():
        waiter.exception()  # that another part failed is known; asyncio would complain that nobody asked
