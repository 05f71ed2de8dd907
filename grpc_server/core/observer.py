"""What the service tells whoever watches it: plain values, once a call or once a batch, never once a row.

The core calls an `Observer` and knows neither metrics nor traces; `grpc_server.telemetry.metrics` and
`grpc_server.telemetry.tracing` implement it. An observer must not wait: it runs on the event loop and on the engine's
thread. It should not raise either; if it does, `Observers` logs it and the service goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

log = logging.getLogger(__name__)

# Health and reflection: asked all the time, and nobody's request for scores.
GRPC_OWN = ("grpc.health.", "grpc.reflection.")

Metadata = Sequence[tuple[str, str | bytes]]
# Told the status name when the call ends and, if the service gave no answer, the reason in a word.
CallEnded = Callable[[str, str | None], None]
# Told a call's metadata when it starts, in the call's own context; what it returns is called once, when the call ends.
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
"""Stands for all methods that the server does not have, so that a caller cannot make up label values."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """How often a batch met what a cache held (`hits`), and what it did not hold (`misses`)."""

    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class BatchStats:
    """A batch that was scored.

    Attributes
    ----------
    model, version
        What scored it.
    lane
        Where its rows had waited.
    rows, invalid_rows
        All its rows, and those among them that have no score because of their texts.
    tokens
        Estimated tokens, as the queue counts them.
    seconds, tokenize_seconds, infer_seconds
        Wall time as a whole, and of its two stages.
    queue_seconds
        How long each piece of work had waited.
    texts
        Use of the text cache, by column.
    scores
        Use of the score cache; nothing if there is none.
    contexts
        For each piece of work, the context of the call that it belongs to.
    """

    model: str
    version: str
    lane: str
    rows: int
    invalid_rows: int
    tokens: int
    seconds: float
    tokenize_seconds: float
    infer_seconds: float
    queue_seconds: Sequence[float]
    texts: Mapping[str, CacheUse]
    contexts: Sequence[Context]
    scores: CacheUse = CacheUse(0, 0)


class Observer(Protocol):
    """Watches the service."""

    def method_served(self, method: Method) -> CallStarted:
        """Take note of a method, before the server listens; what is returned is called for each of its calls."""

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Take note of a request that asks for a place in the queue, in its call's context."""

    def batch_scored(self, report: BatchStats) -> None:
        """Take note of a batch, on the thread that scored it, before its callers have their answers."""

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Take note of rows that waited and were never scored, on the thread that found out."""


class Observers:
    """Passes everything on to each of several observers; to nobody if there are none.

    What an observer raises is logged, now and then, and harms neither the service nor the other observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._logged = -_LOG_EVERY_SECONDS

    def method_served(self, method: Method) -> CallStarted:
        """Tell each; calls and their ends are told to each as well."""
        starts = [observer.method_served(method) for observer in self._observers]

        def started(metadata: Metadata) -> CallEnded:
            endings = []
            for start in starts:
                try:
                    endings.append(start(metadata))
                except Exception:
                    self._trouble()

            def ended(code: str, reason: str | None) -> None:
                for ending in endings:
                    try:
                        ending(code, reason)
                    except Exception:
                        self._trouble()

            return ended

        return started

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Tell each."""
        for observer in self._observers:
            try:
                observer.entered(request_id, rows, lane)
            except Exception:
                self._trouble()

    def batch_scored(self, report: BatchStats) -> None:
        """Tell each."""
        for observer in self._observers:
            try:
                observer.batch_scored(report)
            except Exception:
                self._trouble()

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Tell each."""
        for observer in self._observers:
            try:
                observer.rows_lost(rows, outcome)
            except Exception:
                self._trouble()

    def _trouble(self) -> None:
        if monotonic() - self._logged >= _LOG_EVERY_SECONDS:
            self._logged = monotonic()
            log.exception("an observer failed; metrics or traces are incomplete")


NULL_OBSERVER = Observers()
