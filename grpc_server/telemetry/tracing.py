"""OpenTelemetry traces: a span for every request, and one for every batch with links to its requests.

A request's span continues the caller's trace (W3C `traceparent` metadata). A batch has requests of many traces, so its
span has links to them instead of a parent; it is created only if one of them is sampled. Spans contain no query and no
title.

Needs the extra `otel`; `grpc_server.telemetry.telemetry` decides whether it is used.
"""

from __future__ import annotations

from contextvars import ContextVar
from importlib import metadata
from time import time_ns

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from grpc_server.core.observer import GRPC_OWN, BatchStats, CallEnded, CallStarted, Metadata, Method

# The statuses that OpenTelemetry's conventions for gRPC count as errors of the server.
_SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})

# gRPC runs each call in its own task, and so in its own context: the variable needs no reset.
_SPAN: ContextVar[Span] = ContextVar("span")


class Tracing:
    """An observer that creates spans."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("qtr", metadata.version("qtr-relevance"))
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls) -> Tracing:
        """Return tracing that sends spans by OTLP over gRPC, according to the `OTEL_EXPORTER_OTLP_…` variables."""
        own = {"service.name": "qtr", "service.version": metadata.version("qtr-relevance")}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def close(self) -> None:
        """Send the remaining spans; may wait for the collector."""
        self._provider.shutdown()

    def method_served(self, method: Method) -> CallStarted:
        """Create a span for each call of the method."""
        if method.service.startswith(GRPC_OWN):
            return lambda _: _ignore
        attributes = {"rpc.system": "grpc", "rpc.service": method.service, "rpc.method": method.name}

        def started(metadata: Metadata) -> CallEnded:
            caller = self._propagator.extract({key: value for key, value in metadata if isinstance(value, str)})
            span = self._tracer.start_span(
                f"{method.service}/{method.name}", context=caller, kind=SpanKind.SERVER, attributes=attributes
            )
            _SPAN.set(span)

            def ended(code: str, reason: str | None) -> None:
                if reason:
                    span.set_attribute("qtr.rejected", reason)
                span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
                if code in _SERVER_ERRORS:
                    span.set_status(Status(StatusCode.ERROR, code))
                span.end()

            return ended

        return started

    def request_received(self, request_id: str, rows: int, lane: str) -> None:
        """Add the request's id, rows and lane to its span."""
        if span := _SPAN.get(None):
            span.set_attributes({"qtr.request_id": request_id, "qtr.rows": rows, "qtr.lane": lane})

    def batch_scored(self, stats: BatchStats) -> None:
        """Create the batch's span, with the start time of the batch."""
        spans = {id(span): span for context in stats.contexts if (span := context.get(_SPAN))}
        contexts = [span.get_span_context() for span in spans.values()]
        links = [Link(context) for context in contexts if context.trace_flags.sampled]
        if not links:
            return
        now = time_ns()
        self._tracer.start_span(
            "qtr.batch",
            links=links,
            start_time=now - round(stats.seconds * 1e9),
            attributes={
                "qtr.model": stats.model,
                "qtr.version": stats.version,
                "qtr.lane": stats.lane,
                "qtr.requests": len(spans),
                "qtr.rows": stats.rows,
                "qtr.tokens": stats.tokens,
                "qtr.tokenize_seconds": stats.tokenize_seconds,
                "qtr.infer_seconds": stats.infer_seconds,
            },
        ).end(now)

    def rows_lost(self, rows: int, outcome: str) -> None:
        """Do nothing: the spans of the requests show it."""


def _ignore(code: str, reason: str | None) -> None:
    pass
