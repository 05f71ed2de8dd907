"""The observer interface: events of calls and batches, as plain values; never one event per row.

The core depends neither on metrics nor on traces; `grpc_server.telemetry.metrics` and `grpc_server.telemetry.tracing`
implement `Observer`. An observer must not block: it runs on the event loop and on the engine's thread. If it raises,
`Observers` logs the error and the service continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

log = logging.getLogger(__name__)

# Health and reflection: called all the time, and not requests for scores.
GRPC_OWN = ("grpc.health.", "grpc.reflection.")

Metadata = Sequence[tuple[str, str | bytes]]
# Called once when the call ends, with the name of the status and, unless that is OK, the reason in one word.
CallEnded = Callable[[str, str | None], None]
# Called when a call starts, with its metadata, in the call's own context.
CallStarted = Callable[[Metadata], CallEnded]

_LOG_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Method:
    """An RPC method.

    Attributes
    ----------
    kind
        `unary`, `server_stream` or `bidi_stream`.
    service, name
        Full service name and method name.
    """

    kind: str
    service: str
    name: str


UNKNOWN_METHOD = Method("unary", "unknown", "unknown")
"""Stands for all methods that the server does not have, so that callers cannot create label values."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Cache lookups of a batch: found (`hits`) and not found (`misses`)."""

    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class BatchStats:
    """A batch that was scored.

    Attributes
    ----------
    model, version
        The model that scored it.
    lane
        The lane that its rows waited in.
    rows, error_rows
        All its rows, and those of them that have a row error.
    tokens
        Estimated tokens, as the queue counts them.
    seconds, tokenize_seconds, infer_seconds
        Wall time as a whole, and of its two stages.
    queue_seconds
        How long each piece of work waited.
    texts
        Use of the text cache, by column.
    scores
        Use of the score cache; zero without one.
    contexts
        The context of the call, for each piece of work.
    explaining
        Whether its rows are parts of pairs that are explained; `texts` is empty then.
    """

    model: str
    version: str
    lane: str
    rows: int
    error_rows: int
    tokens: int
    seconds: float
    tokenize_seconds: float
    infer_seconds: float
    queue_seconds: Sequence[float]
    texts: Mapping[str, CacheUse]
    contexts: Sequence[Context]
    scores: CacheUse = CacheUse(0, 0)
    explaining: bool = False


class Observer(Protocol):
    """Receives events of the service."""

    def method_served(self, method: Method) -> CallStarted:
        """Register a method, before the server listens; the returned function is called for each of its calls."""

    def request_received(self, request_id: str, rows: int, lane: str) -> None:
        """Record a request before it is queued, in the context of its call."""

    def batch_scored(self, stats: BatchStats) -> None:
        """Record a batch, on the thread that scored it, before its results are delivered."""

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Record rows that waited and were not scored: dropped from the queue, or the model failed on their request."""


class Observers:
    """Forwards every event to several observers.

    An exception of an observer is logged, at most once in ten seconds, and affects neither the service nor the others.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._logged_at = -_LOG_EVERY_SECONDS

    def method_served(self, method: Method) -> CallStarted:
        """Forward to each, and the start and end of each call as well."""
        starts = [observer.method_served(method) for observer in self._observers]

        def started(metadata: Metadata) -> CallEnded:
            endings = []
            for start in starts:
                try:
                    endings.append(start(metadata))
                except Exception:
                    self._log_exception()

            def ended(code: str, reason: str | None) -> None:
                for ending in endings:
                    try:
                        ending(code, reason)
                    except Exception:
                        self._log_exception()

            return ended

        return started

    def request_received(self, request_id: str, rows: int, lane: str) -> None:
        """Forward to each."""
        for observer in self._observers:
            try:
                observer.request_received(request_id, rows, lane)
            except Exception:
                self._log_exception()

    def batch_scored(self, stats: BatchStats) -> None:
        """Forward to each."""
        for observer in self._observers:
            try:
                observer.batch_scored(stats)
            except Exception:
                self._log_exception()

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Forward to each."""
        for observer in self._observers:
            try:
                observer.rows_lost(rows, outcome)
            except Exception:
                self._log_exception()

    def _log_exception(self) -> None:
        if monotonic() - self._logged_at >= _LOG_EVERY_SECONDS:
            self._logged_at = monotonic()
            log.exception("an observer failed; metrics or traces are incomplete")


NULL_OBSERVER = Observers()
