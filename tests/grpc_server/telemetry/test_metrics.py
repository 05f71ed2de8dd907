"""What Prometheus reads is what happened: asked of a real server, and of the parts where timing matters."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from grpc_server.core.engine import Engine
from grpc_server.core.observer import BatchStats, CacheUse, Method
from grpc_server.core.registry import ModelRegistry
from grpc_server.core.splitting import charge
from grpc_server.core.work import Lane
from grpc_server.telemetry.metrics import Metrics, ReadFiles, _ProcessState
from grpc_server.transport.auth import TokenFile
from relevance_model import Bundle, Pairs, Scorer
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.gated_scorer import BreakingScorer
from tests.support.grpc_calls import Health, refused
from tests.support.raw_http2 import unread_answer
from tests.support.scrape import Scrape, parse, read_metrics
from tests.support.server_process import ServerProcess
from tests.support.small_bundles import twin_encoder

StartServer = Callable[..., ServerProcess]
SERVICE = "relevance.v1.RelevanceService"


def shown(metrics: Metrics) -> Scrape:
    from prometheus_client import generate_latest

    return parse(generate_latest(metrics.registry).decode())


def test_a_server_counts_what_its_callers_saw(start_server: StartServer, student: Bundle) -> None:
    server = start_server()
    stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel())
    titles = ["Red canvas sneakers", "USB cable 2 m", ""]
    for _ in range(2):
        stub.Score(pb.ScoreRequest(query="green boots", titles=titles))
    stub.ScoreBatch(
        pb.ScoreBatchRequest(queries=["usb"] * 3, titles=["USB cable"] * 3),
        metadata=(("x-priority", "bulk"),),
    )
    wrong = pb.ScoreRequest(query="a", titles=["b"], model=pb.ModelVersion(name="other"))
    assert refused(lambda: stub.Score(wrong)).code() is grpc.StatusCode.NOT_FOUND
    assert refused(lambda: stub.Score(pb.ScoreRequest())).code() is grpc.StatusCode.INVALID_ARGUMENT
    health = Health(server.channel())
    assert refused(lambda: health.check("no")).code() is grpc.StatusCode.NOT_FOUND
    seen = read_metrics(server.metrics_address)

    score = {"grpc_service": SERVICE, "grpc_method": "Score", "grpc_type": "unary"}
    assert seen.value("grpc_server_started_total", **score) == 4
    assert seen.value("grpc_server_handled_total", **score, grpc_code="OK") == 2
    assert seen.value("grpc_server_handled_total", **score, grpc_code="NOT_FOUND") == 1
    assert seen.value("grpc_server_handled_total", **score, grpc_code="INVALID_ARGUMENT") == 1
    assert seen.value("grpc_server_handling_seconds_count", **score) == 4
    assert seen.value("grpc_server_handled_total", grpc_service=SERVICE, grpc_method="ScoreBatch", grpc_code="OK") == 1
    # A probe's wrong service name is no rejected request.
    reasons = {"invalid": 1, "unknown_model": 1, "lane_full": 0, "draining": 0, "deadline": 0, "cancelled": 0}
    assert {reason: seen.value("qtr_rejected_total", reason=reason) for reason in reasons} == reasons

    assert seen.value("qtr_rows_total", outcome="scored") == 2 * 2 + 3
    assert seen.value("qtr_rows_total", outcome="row_error") == 2
    assert seen.value("qtr_batch_rows_count") == 3
    assert seen.value("qtr_batch_rows_sum") == 9
    assert seen.value("qtr_batch_rows_bucket", le="2.0") == 0
    assert seen.value("qtr_queue_seconds_count", lane="interactive") == 2
    assert seen.value("qtr_queue_seconds_count", lane="bulk") == 1
    assert seen.value("qtr_text_cache_misses_total", column="query") == 2
    assert seen.value("qtr_text_cache_hits_total", column="query") == 1
    assert seen.value("qtr_text_cache_misses_total", column="title") == 3
    assert seen.value("qtr_text_cache_hits_total", column="title") == 2
    assert 0 < seen.value("qtr_infer_seconds_sum") < seen.value("grpc_server_handling_seconds_sum", **score) + 60

    manifest = student.manifest
    assert seen.value("qtr_model_info", name=manifest.name, version=manifest.version, sha256=student.sha256) == 1
    assert seen.value("qtr_serving") == 1
    assert seen.value("qtr_queue_tokens", lane="bulk") == seen.value("qtr_queue_requests", lane="bulk") == 0
    assert seen.value("process_resident_memory_bytes") > 1 << 20


def test_a_server_that_keeps_scores_counts_their_use(start_server: StartServer) -> None:
    server = start_server("--score-cache-bytes", "1000000")
    stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel())
    request = pb.ScoreRequest(query="green boots", titles=["Red canvas sneakers", "USB cable 2 m"])
    first, again = (stub.Score(request) for _ in range(2))
    assert list(first.results) == list(again.results)
    seen = read_metrics(server.metrics_address)
    assert seen.value("qtr_score_cache_misses_total") == seen.value("qtr_score_cache_hits_total") == 2
    assert seen.value("qtr_score_cache_entries") == 2
    assert seen.value("qtr_text_cache_misses_total", column="title") == 2


def rows(count: int) -> Pairs:
    return Pairs.from_columns([f"query {i}" for i in range(count)], [f"title {i}" for i in range(count)])


async def test_the_queue_is_shown_as_it_is_when_asked(student: Bundle) -> None:
    scorer, metrics = BreakingScorer(student), Metrics()
    engine = Engine(
        ModelRegistry(scorer), max_queued_tokens=500, batch_tokens=20, mixed_batch_tokens=20, observer=metrics
    )
    metrics.watch(engine, ReadFiles())
    engine.start()

    def ask(pairs: Pairs, lane: Lane, deadline: float | None = None) -> asyncio.Task[object]:
        call = engine.score(pairs, scorer=scorer, lane=lane, deadline=deadline, request_id="")
        return asyncio.create_task(call)

    scorer.gate.clear()
    blocker = ask(rows(1), Lane.BULK)
    await asyncio.to_thread(scorer.entered.wait, 60)
    # The second is cut into several pieces of work and still is one request.
    tasks = [ask(rows(2), Lane.BULK), ask(rows(40), Lane.BULK), ask(rows(3), Lane.INTERACTIVE)]
    leaving, late = ask(rows(2), Lane.INTERACTIVE), ask(rows(1), Lane.INTERACTIVE, 0.0)
    while engine.queue.requests(Lane.INTERACTIVE) < 3:
        await asyncio.sleep(0)
    waiting = shown(metrics)
    bulk, interactive = (
        sum(charge(rows(n), student.manifest).tokens for n in counts) for counts in ((2, 40), (3, 2, 1))
    )
    assert waiting.value("qtr_queue_tokens", lane="bulk") == bulk
    assert waiting.value("qtr_queue_requests", lane="bulk") == 2
    assert waiting.value("qtr_queue_tokens", lane="interactive") == interactive
    assert waiting.value("qtr_queue_requests", lane="interactive") == 3
    assert waiting.value("qtr_queue_limit_tokens") == 500

    leaving.cancel()
    poisoned = ask(Pairs.from_columns(["q"], ["poison"]), Lane.BULK)
    await asyncio.sleep(0)
    scorer.gate.set()
    await asyncio.gather(blocker, *tasks, leaving, late, poisoned, return_exceptions=True)
    await engine.drain()
    after = shown(metrics)
    for lane in Lane:
        assert after.value("qtr_queue_tokens", lane=lane.value) == 0
        assert after.value("qtr_queue_requests", lane=lane.value) == 0
    assert after.value("qtr_serving") == 0
    outcomes = {"scored": 1 + 2 + 40 + 3, "cancelled": 2, "deadline": 1, "failed": 1, "row_error": 0}
    assert {outcome: after.value("qtr_rows_total", outcome=outcome) for outcome in outcomes} == outcomes
    assert after.value("qtr_batch_rows_sum") == 46


async def test_after_a_swap_the_new_model_is_shown(student: Bundle, tmp_path: Path) -> None:
    models, metrics = ModelRegistry(Scorer(student)), Metrics()
    engine = Engine(models, max_queued_tokens=500, batch_tokens=20, mixed_batch_tokens=20, observer=metrics)
    metrics.watch(engine, ReadFiles())
    assert shown(metrics).value("qtr_model_info", sha256=student.sha256) == 1
    other = Scorer(twin_encoder(tmp_path / "other"))
    models.add(other)
    other.score(rows(5))
    seen = shown(metrics)
    assert seen.values("qtr_model_info", sha256=student.sha256) == []
    assert seen.value("qtr_model_info", name="small", version="1", sha256=other.bundle.sha256) == 1
    assert seen.value("qtr_text_cache_entries", column="title") == 5


def test_two_servers_in_one_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.method_served(Method("unary", "s", "m"))(())("OK", None)
    one.batch_scored(
        BatchStats("m", "1", "bulk", 8, 1, 99, 0.3, 0.1, 0.2, [0.5, 0.6], {"query": CacheUse(3, 4)}, contexts=[])
    )
    assert shown(one).value("qtr_batch_tokens_sum") == 99
    assert shown(one).value("qtr_queue_seconds_sum", lane="bulk") == pytest.approx(1.1)
    assert shown(other).value("qtr_batch_tokens_sum") == 0
    assert shown(other).values("grpc_server_handled_total") == []


def test_a_draining_server_serves_its_metrics(start_server: StartServer) -> None:
    server = start_server("--lame-duck-seconds", "0", "--drain-seconds", "3600")
    # An answer that is not read keeps the server draining until its peer leaves.
    with unread_answer(server.socket_address):
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        while read_metrics(server.metrics_address).value("qtr_serving"):
            pass
    assert server.finish() == 0


def test_metrics_can_be_switched_off(start_server: StartServer) -> None:
    server = start_server("--no-metrics")
    assert server.metrics_address is None
    stub = relevance_pb2_grpc.RelevanceServiceStub(server.channel())
    assert len(stub.Score(pb.ScoreRequest(query="a", titles=["b"])).results) == 1


def test_a_taken_metrics_port_stops_the_start_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "grpc_server", "--log-format", "text", "--port", "0", "--metrics-port", port]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port} for metrics" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


async def test_files_that_are_not_in_use_are_shown(tmp_path: Path) -> None:
    metrics, path = Metrics(), tmp_path / "tokens"
    path.write_text("a-token-of-a-caller\nanother-token-of-one\n")
    tokens = TokenFile(path)
    metrics.registry.register(_ProcessState(ReadFiles(tokens=tokens)))

    def state() -> tuple[float, float]:
        seen = shown(metrics)
        return seen.value("qtr_auth_tokens"), seen.value("qtr_file_refused", file="token file")

    assert state() == (2, 0)
    path.write_text("a-token-of-a-caller\nshort\n")
    assert state() == (1, 1)  # without any call
    path.write_text("")
    assert state() == (0, 0)
