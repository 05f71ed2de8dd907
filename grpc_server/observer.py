"""What the service tells whoever watches it: plain values, once a call or once a batch, never once a row.

The core calls an :class:`Observer` and knows neither metrics nor traces; :mod:`grpc_server.metrics` and
:mod:`grpc_server.tracing` implement it. An observer must not raise and must not wait: it runs on the event loop and on
the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol

# Health and reflection: asked all the time, and nobody's request for scores.
GRPC_OWN = ("grpc.health.", "grpc.reflection.")

# Told the status name when the call ends and, if the service gave no answer, the reason in a word.
CallEnded = Callable[[str, str | None], None]


@dataclass(frozen=True, slots=True)
class Call:
    """An RPC that starts.

    Attributes
    ----------
    kind
        ``unary``, ``client_stream``, ``server_stream`` or ``bidi_stream``.
    service, method
        Full service name and method name; both ``unknown`` if the server does not have the method, so that a caller
        cannot make up label values.
    metadata
        As the caller sent it.
    """

    kind: str
    service: str
    method: str
    metadata: Sequence[tuple[str, str | bytes]] = ()


@dataclass(frozen=True, slots=True)
class TextUse:
    """How often a batch met texts of one column that were cached (``hits``), and that were not (``misses``)."""

    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class BatchReport:
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
    seconds, encode_seconds, infer_seconds
        Wall time as a whole, and of its two stages.
    queue_seconds
        How long each piece of work had waited.
    texts
        Use of the text cache, by column.
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
    encode_seconds: float
    infer_seconds: float
    queue_seconds: Sequence[float]
    texts: Mapping[str, TextUse]
    contexts: Sequence[Context]


class Observer(Protocol):
    """Watches the service."""

    def call_started(self, call: Call) -> CallEnded:
        """Take note of an RPC, in its own context; what is returned is called once, when the RPC ends."""

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Take note of a request that asks for a place in the queue, in its call's context."""

    def batch_scored(self, report: BatchReport) -> None:
        """Take note of a batch, on the engine's thread, before its callers have their answers."""

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Take note of rows that waited and were never scored, on the engine's thread."""


class Observers:
    """Passes everything on to each of several observers; to nobody if there are none."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def call_started(self, call: Call) -> CallEnded:
        """Tell each; the end is told to each as well."""
        endings = [observer.call_started(call) for observer in self._observers]

        def ended(code: str, reason: str | None) -> None:
            for ending in endings:
                ending(code, reason)

        return ended

    def entered(self, request_id: str, rows: int, lane: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.entered(request_id, rows, lane)

    def batch_scored(self, report: BatchReport) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.batch_scored(report)

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Tell each."""
        for observer in self._observers:
            observer.rows_lost(rows, outcome)


NOBODY = Observers()
