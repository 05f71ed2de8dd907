"""One span a request in the caller's trace, one span a batch that points at its requests, and no text in either."""

from __future__ import annotations

import asyncio
import queue
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

pytest.importorskip("opentelemetry.sdk", reason="the extra qtr[otel] is not installed")

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from grpc_server.api.health import HealthServicer
from grpc_server.api.relevance import RelevanceServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.core.engine import Engine
from grpc_server.core.explanations import Explanations
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.work import Lane
from grpc_server.telemetry.telemetry import traces_requested
from grpc_server.telemetry.tracing import Tracing
from relevance_model import Bundle
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.admitted_server import admitted_server
from tests.support.gated_scorer import BreakingScorer
from tests.support.server_process import ServerProcess

SCORE = "relevance.v1.RelevanceService/Score"


def traceparent(trace: int, *, sampled: bool = True) -> tuple[str, str]:
    return "traceparent", f"00-{trace:032x}-{7:016x}-{int(sampled):02x}"


@dataclass
class Service:
    engine: Engine
    scorer: BreakingScorer
    spans: InMemorySpanExporter
    channel: grpc.aio.Channel

    async def score(self, *metadata: tuple[str, str], title: str = "Secret sneakers") -> str:
        stub = relevance_pb2_grpc.RelevanceServiceStub(self.channel)
        request = pb.ScoreRequest(query="secret shoes", titles=[title] if title else [])
        try:
            await stub.Score(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]


@pytest.fixture
async def service(student: Bundle) -> AsyncIterator[Service]:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing = Tracing(provider)
    scorer = BreakingScorer(student)
    engine = Engine(
        ModelRegistry(scorer), max_queued_tokens=10_000, batch_tokens=1000, mixed_batch_tokens=1000, observer=tracing
    )
    engine.start()
    server = admitted_server(tracing)
    limits = RequestLimits(max_rows=100, max_message_bytes=1 << 20, max_queued_tokens=10_000)
    servicer = RelevanceServicer(engine, Explanations(engine, max_at_once=0, max_cost=1), limits)
    relevance_pb2_grpc.add_RelevanceServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Service(engine, scorer, spans, channel)
    scorer.gate.set()
    await engine.drain()
    await server.stop(None)
    tracing.close()


async def test_a_request_continues_the_callers_trace(service: Service) -> None:
    assert await service.score(traceparent(0xABC), ("x-request-id", "night-7")) == "OK"
    [span] = service.named(SCORE)
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (0xABC, 7)
    assert span.attributes is not None
    assert span.attributes["rpc.service"] == "relevance.v1.RelevanceService"
    assert span.attributes["rpc.grpc.status_code"] == 0
    assert span.attributes["qtr.request_id"] == "night-7"
    assert (span.attributes["qtr.rows"], span.attributes["qtr.lane"]) == (1, "interactive")
    assert span.status.status_code is StatusCode.UNSET


async def test_a_batch_links_the_requests_that_it_served(service: Service) -> None:
    service.scorer.gate.clear()
    blocker = asyncio.create_task(service.score(traceparent(1)))
    await asyncio.to_thread(service.scorer.entered.wait, 60)
    waiting = [
        asyncio.create_task(service.score(traceparent(trace, sampled=trace != 4), title=f"Secret {trace}"))
        for trace in (2, 3, 4)
    ]
    while service.engine.queue.requests(Lane.INTERACTIVE) < len(waiting):
        await asyncio.sleep(0)
    service.scorer.gate.set()
    await asyncio.gather(blocker, *waiting)
    first, second = service.named("qtr.batch")
    assert first.parent is second.parent is None
    assert [link.context.trace_id for link in first.links] == [1]
    requests = {span.context.trace_id: span.context.span_id for span in service.named(SCORE)}
    # The caller of trace 4 does not record it; its rows are in the batch all the same.
    assert {link.context.trace_id: link.context.span_id for link in second.links} == {t: requests[t] for t in (2, 3)}
    assert second.attributes is not None
    assert (second.attributes["qtr.rows"], second.attributes["qtr.requests"]) == (3, 3)
    assert second.start_time is not None
    assert second.end_time is not None
    stages = [second.attributes[f"qtr.{stage}_seconds"] for stage in ("tokenize", "infer")]
    measured = sum(seconds for seconds in stages if isinstance(seconds, float))
    assert measured > 0
    assert (second.end_time - second.start_time) / 1e9 >= measured


async def test_a_batch_without_a_sampled_request_has_no_span(service: Service) -> None:
    assert await service.score(traceparent(5, sampled=False)) == "OK"
    assert service.spans.get_finished_spans() == ()


async def test_a_request_without_a_trace_begins_one(service: Service) -> None:
    assert await service.score(("traceparent", "nonsense")) == "OK"
    [span] = service.named(SCORE)
    assert span.parent is None
    assert span.attributes is not None
    assert len(str(span.attributes["qtr.request_id"])) == 32


@pytest.mark.parametrize(
    ("title", "code", "reason", "fault"),
    [("poison", "INTERNAL", "internal", StatusCode.ERROR), ("", "INVALID_ARGUMENT", "invalid", StatusCode.UNSET)],
)
async def test_a_failed_request_says_why(
    service: Service, title: str, code: str, reason: str, fault: StatusCode
) -> None:
    assert await service.score(title=title) == code
    [span] = service.named(SCORE)
    assert span.attributes is not None
    assert span.attributes["qtr.rejected"] == reason
    assert span.status.status_code is fault


async def test_probes_make_no_spans(service: Service) -> None:
    stub: Any = health_pb2_grpc.HealthStub(service.channel)
    await stub.Check(health_pb2.HealthCheckRequest())
    assert service.spans.get_finished_spans() == ()


async def test_no_text_goes_into_a_span(service: Service) -> None:
    await service.score(traceparent(1), title="secret title")
    await service.score(traceparent(2), title="poison")
    shown = "".join(span.to_json() for span in service.spans.get_finished_spans()).lower()
    assert "qtr.batch" in shown
    assert "secret" not in shown
    assert "poison" not in shown


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
    ],
)
def test_the_standard_variables_decide(environ: dict[str, str], wanted: bool) -> None:
    assert traces_requested(environ) is wanted


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: queue.Queue[trace_service_pb2.ExportTraceServiceRequest] = queue.Queue()

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.received.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> dict[str, Span]:
        requests = [self.received.get() for _ in range(self.received.qsize())]
        return {
            span.name: span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield collector
    server.stop(None)


def ask_once(server: ServerProcess) -> int:
    stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel())
    stub.Score(pb.ScoreRequest(query="a", titles=["b"]), metadata=(traceparent(0xABC),))
    server.process.send_signal(signal.SIGTERM)
    return server.finish()


def test_spans_reach_a_collector_before_the_server_ends(collector: Collector) -> None:
    with ServerProcess() as server:
        assert ask_once(server) == 0
    spans = collector.spans()
    assert set(spans) == {SCORE, "qtr.batch"}
    assert spans[SCORE].trace_id == spans["qtr.batch"].links[0].trace_id == (0xABC).to_bytes(16, "big")


def test_an_unreachable_collector_does_not_block_the_end_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with ServerProcess() as server:
        assert ask_once(server) == 0
    assert "stopped" in [event["msg"] for event in server.events]


def test_another_protocol_is_declined_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with ServerProcess() as server:
        assert ask_once(server) == 0
    assert [event["protocol"] for event in server.events if event["msg"].startswith("no traces")] == ["http/protobuf"]
