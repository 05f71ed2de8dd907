"""The engine: takes batches from the queue, scores them and returns to each request its own rows.

A thread does this beside the event loop. Handing work to a thread and back costs as much as scoring one pair, so there
are two exceptions for interactive calls:

- Inline: while the thread is idle, a small batch is scored on the event loop at once.
- Coalescing: when several interactive calls arrive together, the first waits until the loop has read the others, which
  takes longer than scoring them, and all are scored as one batch on the thread.

Every protocol adapter calls the engine; the engine depends on none of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from time import monotonic, perf_counter
from typing import Protocol

from grpc_server.core.batch_stats import batch_stats
from grpc_server.core.inline_latency import INLINE_MAX_TOKENS, InlineLatency
from grpc_server.core.observer import NULL_OBSERVER, Observer
from grpc_server.core.queue import WorkQueue
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.results import Result, concat_results, slice_result
from grpc_server.core.score_cache import ScoreCache
from grpc_server.core.splitting import charge
from grpc_server.core.throughput import ThroughputEstimator
from grpc_server.core.work import DropReason, Lane, Work
from grpc_server.errors import DeadlineError, ScoringError
from relevance_model import Pairs, Scorer

log = logging.getLogger(__name__)

# Runs a callback on the event loop, at once or soon.
CallOnLoop = Callable[..., object]

# The most that one call may put into the interactive lane: 64 rows of full length, a few hundredths of a second.
MAX_INTERACTIVE_TOKENS = 6144
# Coalescing ends when no call has arrived for the first time, or the first call has waited for the second.
_COALESCE_IDLE_SECONDS = 4e-4
_COALESCE_MAX_SECONDS = 4e-3


@dataclass(slots=True, eq=False)
class _Part(Work):
    """A piece of work, and the future that receives its result."""

    waiter: asyncio.Future[Result] | None = None


class IncomingCalls(Protocol):
    """Calls whose message is still being received: their number, and the loop's time when the newest began."""

    pending: int
    newest_at: float


class _NoIncomingCalls:
    pending, newest_at = 0, -math.inf


class Engine:
    """Scores the requests of an event loop.

    Parameters
    ----------
    models
        The served models.
    max_queued_tokens, batch_tokens, mixed_batch_tokens
        See `grpc_server.core.queue.WorkQueue`. A request of more than a batch's tokens is split into several pieces of
        work, so that an interactive call waits for one batch at most.
    observer
        Receives requests and batches.
    incoming_calls
        Calls whose message is still being received; decides about coalescing.
    score_cache_bytes
        See `grpc_server.core.score_cache.ScoreCache`.

    Attributes
    ----------
    models
        As given.
    queue, score_cache, inline_latency
        For reading their state.
    broken
        Set when a fault in the engine itself has ended scoring; the log has the cause.
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
        self._throughput = ThroughputEstimator()
        self.queue = WorkQueue(
            max_tokens=max_queued_tokens,
            batch_tokens=batch_tokens,
            mixed_batch_tokens=mixed_batch_tokens,
            throughput=self._throughput,
            on_drop=self._dropped,
        )
        self.inline_latency = InlineLatency()
        self._incoming_calls: IncomingCalls = incoming_calls or _NoIncomingCalls()
        self._held_since: float | None = None
        self._coalescing = False
        self._loop = asyncio.get_running_loop()
        self._finished = asyncio.Event()
        self.broken = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start taking work."""
        self._thread.start()

    async def score(
        self, pairs: Pairs, *, scorer: Scorer, lane: Lane, deadline: float | None, request_id: str, source: str = ""
    ) -> Result:
        """Queue `pairs` and wait for the result.

        Parameters
        ----------
        pairs
            The rows.
        scorer
            The model to use, from `models`.
        lane
            Where the rows wait. More than `MAX_INTERACTIVE_TOKENS` always wait in the bulk lane.
        deadline
            Seconds from now within which the result is of use.
        request_id, source
            For the log and the trace; the connection, since interactive work of several is served in turn.

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
        if charged.tokens > MAX_INTERACTIVE_TOKENS:
            lane = Lane.BULK
        self._observer.request_received(request_id, len(pairs), lane.value)
        context = copy_context()
        fair = source if lane is Lane.INTERACTIVE else ""
        parts = [
            _Part(part, tokens, lane, scorer, until, fair, request_id, context, waiter=self._loop.create_future())
            for part, tokens in charged.split_by_tokens(self.queue.budget(lane))
        ]
        hold = lane is Lane.INTERACTIVE and self.inline_latency.acceptable
        try:
            self.queue.offer(parts, hold=hold)
            if hold and self._held_since is None:
                self._held_since = self._loop.time()
                self._loop.call_soon(self._score_inline)
            log.debug("work accepted", extra={"request_id": request_id, "rows": len(pairs), "lane": lane.value})
            results = [await part.waiter for part in parts if part.waiter is not None]
            return results[0] if len(results) == 1 else concat_results(results)
        finally:
            for part in parts:
                part.cancelled = True
                _discard(part.waiter)

    async def drain(self) -> None:
        """Refuse new work and return when all that waited is answered."""
        self.queue.close()
        await self._finished.wait()

    def _run(self) -> None:
        try:
            while batch := self.queue.take():
                self._process(batch, self._loop.call_soon_threadsafe)
        except BaseException:
            self._break_down()
        finally:
            # The loop waits for this event instead of joining the thread: a slow batch must not block the exit.
            self._loop.call_soon_threadsafe(self._finished.set)

    def _break_down(self) -> None:
        """Refuse new work: without the engine, a queue would never be emptied."""
        log.critical("the engine broke down", exc_info=True)
        self.queue.close()
        self._loop.call_soon_threadsafe(self.broken.set)

    def _score_inline(self) -> None:
        """Score the held interactive work here, pass it to the thread, or come back later to coalesce more."""
        if self._coalesce():
            self._loop.call_soon(self._score_inline)
            return
        self._held_since = None
        if self._coalescing:
            self._coalescing = self.queue.requests(Lane.INTERACTIVE) > 1
            self.queue.release()
            return
        try:
            if batch := self.queue.take_inline(INLINE_MAX_TOKENS):
                self._process(batch, _call_now)
        except BaseException:
            self._break_down()
            raise

    def _coalesce(self) -> bool:
        """Return whether to wait for more calls: several are or were there, and more are arriving."""
        assert self._held_since is not None
        self._coalescing = self._coalescing or self.queue.requests(Lane.INTERACTIVE) + self._incoming_calls.pending > 1
        now = self._loop.time()
        return (
            self._coalescing
            and now - self._incoming_calls.newest_at < _COALESCE_IDLE_SECONDS
            and now - self._held_since < _COALESCE_MAX_SECONDS
            and self.queue.tokens(Lane.INTERACTIVE) < INLINE_MAX_TOKENS
        )

    def _process(self, batch: list[Work], call_on_loop: CallOnLoop) -> None:
        started = perf_counter()
        try:
            self._score(batch, call_on_loop)
        except Exception:
            names = [work.request_id for work in batch]
            log.exception("a batch failed; its requests are tried alone", extra={"request_ids": names})
            self._score_alone(batch, call_on_loop)
        seconds = perf_counter() - started
        tokens = sum(work.tokens for work in batch)
        self._throughput.observe(tokens, seconds)
        self.inline_latency.observe(tokens, seconds)

    def _score(self, batch: list[Work], call_on_loop: CallOnLoop) -> None:
        scorer = batch[0].group
        assert isinstance(scorer, Scorer)
        started = perf_counter()
        before = scorer.cache_stats()
        scores, cached = self.score_cache.score(scorer, Pairs.concat([work.pairs for work in batch]))
        stats = batch_stats(batch, scorer, scores, before, perf_counter() - started)
        self._observer.batch_scored(replace(stats, scores=cached) if cached.hits or cached.misses else stats)
        results: list[Result] = []
        start = 0
        for work in batch:
            stop = start + len(work.pairs)
            results.append(slice_result(scorer.bundle, scores, start, stop, work.queue_seconds))
            start = stop
        call_on_loop(_deliver, batch, results)

    def _score_alone(self, batch: list[Work], call_on_loop: CallOnLoop) -> None:
        """Score each request by itself, so that only the one that makes the model fail gets an error."""
        for work in batch:
            try:
                self._score([work], call_on_loop)
            except Exception:
                log.exception("a request failed", extra={"request_id": work.request_id})
                self._observer.rows_lost(len(work.pairs), "failed")
                self._fail(work, lambda: ScoringError("the model failed on this request"))

    def _dropped(self, work: Work, reason: DropReason) -> None:
        log.debug("work dropped", extra={"request_id": work.request_id, "reason": reason.value})
        self._observer.rows_lost(len(work.pairs), reason.value)
        if reason is DropReason.DEADLINE:
            self._fail(work, lambda: DeadlineError("the deadline cannot be met"))

    def _fail(self, work: Work, error: Callable[[], Exception]) -> None:
        self._loop.call_soon_threadsafe(_set_error, work, error)


def _call_now(callback: Callable[..., object], *args: object) -> None:
    callback(*args)


def _deliver(batch: list[Work], results: list[Result]) -> None:
    for work, result in zip(batch, results, strict=True):
        assert isinstance(work, _Part)
        if work.waiter is not None and not work.waiter.done():
            work.waiter.set_result(result)


def _set_error(work: Work, error: Callable[[], Exception]) -> None:
    assert isinstance(work, _Part)
    if work.waiter is not None and not work.waiter.done():
        work.waiter.set_exception(error())


def _discard(waiter: asyncio.Future[Result] | None) -> None:
    if waiter is not None and not waiter.cancel() and not waiter.cancelled():
        waiter.exception()  # another part's error was raised already; asyncio would log this one as never retrieved
