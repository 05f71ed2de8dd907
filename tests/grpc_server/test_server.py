"""The served contract, from outside: a real process, a real port, real signals."""

from __future__ import annotations

import math
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from relevance_model import Bundle, Scorer, default_bundle_path
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.grpc_calls import Health, refused
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
RelevanceStub = relevance_pb2_grpc.RelevanceServiceStub


@pytest.fixture
def stub(server: ServerProcess) -> RelevanceStub:
    return RelevanceStub(server.channel())


def test_score_answers_like_the_model_itself(stub: RelevanceStub, scorer: Scorer, student: Bundle) -> None:
    titles = ["Red canvas sneakers size 42", "Cast iron pan 28 cm", ""]
    response = stub.Score(pb.ScoreRequest(query="red shoes", titles=titles))
    expected = scorer.score_texts(["red shoes"], titles, [0, 0, 0])
    assert [result.title for result in response.results] == titles
    assert response.results[0].score == pytest.approx(expected.scores[0], abs=1e-5)
    assert response.results[0].label == student.manifest.labels[expected.labels[0]]
    assert not response.results[2].HasField("score")
    assert response.results[2].error.reason == "title is empty"
    assert (response.model.name, response.model.version) == (student.manifest.name, student.manifest.version)


def test_score_batch_reads_columns_and_indices(stub: RelevanceStub, scorer: Scorer) -> None:
    queries, titles = ["red shoes", "", "usb cable"], ["Red shoes 42", "USB cable 2 m"]
    request = pb.ScoreBatchRequest(queries=queries, titles=titles, query_index=[0, 1, 2, 2], title_index=[0, 0, 1, 0])
    response = stub.ScoreBatch(request)
    expected = scorer.score_texts(
        ["red shoes", "usb cable", "usb cable"], ["Red shoes 42", "USB cable 2 m", "Red shoes 42"]
    )
    assert [response.scores[i] for i in (0, 2, 3)] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert [response.labels[i] for i in (0, 2, 3)] == expected.labels.tolist()
    assert math.isnan(response.scores[1])
    assert [(e.row, e.code, e.reason) for e in response.errors] == [
        (1, pb.ROW_ERROR_CODE_INVALID_ARGUMENT, "query is empty")
    ]
    assert response.timings.infer_micros > 0


def test_get_model_announces_model_and_limits(stub: RelevanceStub, student: Bundle) -> None:
    model = stub.GetModel(pb.GetModelRequest())
    assert model.sha256 == student.sha256
    assert tuple(model.labels) == student.manifest.labels
    assert model.threshold == pytest.approx(student.manifest.threshold)
    assert (model.limits.max_rows, model.limits.max_text_bytes) == (4096, 8192)
    assert model.limits.max_title_tokens == student.manifest.max_title_tokens


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ScoreBatchRequest(queries=["a"], titles=["x"], query_index=[3], title_index=[0]), "query_index"),
        (pb.ScoreBatchRequest(queries=["a"], titles=["x", "y"]), "titles"),
        (
            pb.ScoreBatchRequest(queries=["a"], titles=["x"], query_index=[0] * 5000, title_index=[0] * 5000),
            "query_index",
        ),
        (pb.ScoreBatchRequest(queries=["a"] * 5000, titles=["x"], query_index=[0], title_index=[0]), "queries"),
    ],
    ids=["index out of range", "columns disagree", "too many rows", "too many texts"],
)
def test_a_malformed_batch_names_its_field(stub: RelevanceStub, request_: pb.ScoreBatchRequest, field: str) -> None:
    error = refused(lambda: stub.ScoreBatch(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error)
    detail = error_details_pb2.BadRequest()
    assert status is not None
    assert status.details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == [field]


def test_score_without_titles_is_malformed(stub: RelevanceStub) -> None:
    error = refused(lambda: stub.Score(pb.ScoreRequest(query="a")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "titles: at least one title is needed" in error.details()


def test_an_empty_batch_is_answered(stub: RelevanceStub) -> None:
    response = stub.ScoreBatch(pb.ScoreBatchRequest())
    assert len(response.scores) == len(response.errors) == 0


@pytest.mark.parametrize(
    "wanted",
    [
        pb.ModelVersion(name="other"),
        pb.ModelVersion(version="0.0.0-none"),
        pb.ModelVersion(name="student", sha256="ab"),
    ],
)
def test_another_model_is_not_found(stub: RelevanceStub, wanted: pb.ModelVersion) -> None:
    error = refused(lambda: stub.Score(pb.ScoreRequest(query="a", titles=["b"], model=wanted)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "is not served here" in error.details()


def test_the_served_model_may_be_asked_for_by_name_and_version(stub: RelevanceStub, student: Bundle) -> None:
    wanted = pb.ModelVersion(name=student.manifest.name, version=student.manifest.version)
    exactly = pb.ModelVersion(name=wanted.name, version=wanted.version, sha256=student.sha256)
    for asked in (wanted, exactly):
        assert stub.Score(pb.ScoreRequest(query="a", titles=["b"], model=asked)).model == exactly


def test_a_message_over_the_limit_is_grpcs_own_refusal(start_server: StartServer) -> None:
    server = start_server("--max-message-bytes", "4096")
    stub = RelevanceStub(server.channel())
    error = refused(lambda: stub.Score(pb.ScoreRequest(query="a", titles=["x" * 5000])))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_health_is_serving_for_the_server_and_the_service(server: ServerProcess) -> None:
    health = Health(server.channel())
    for name in ("", "relevance.v1.RelevanceService"):
        assert health.check(name) == SERVING


def test_texts_stay_out_of_the_log(start_server: StartServer) -> None:
    server = start_server("--log-level", "DEBUG")
    stub = RelevanceStub(server.channel())
    stub.Score(pb.ScoreRequest(query="privatequery", titles=["privatetitle", ""]))
    wanted = pb.ModelVersion(name="other")
    request = pb.ScoreRequest(query="privatequery", titles=["privatetitle"], model=wanted)
    refused(lambda: stub.Score(request, metadata=(("x-request-id", "night-7"),)))
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    assert "private" not in str(server.events)
    [event] = [event for event in server.events if event["msg"] == "request refused"]
    assert (event["request_id"], event["code"], event["method"]) == ("night-7", "NOT_FOUND", "Score")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_was_accepted_and_exits_0(start_server: StartServer, signum: signal.Signals) -> None:
    server = start_server("--log-level", "DEBUG", "--drain-seconds", "3600")
    channel = server.channel()
    stub = RelevanceStub(channel)
    watch = Health(channel).watch()
    assert next(watch) == SERVING
    titles = [f"running shoe number {i} in red and blue with laces" for i in range(4096)]
    calls = [stub.ScoreBatch.future(pb.ScoreBatchRequest(queries=["shoes"] * 4096, titles=titles)) for _ in range(4)]
    for _ in calls:
        server.wait_for("work accepted")
    server.process.send_signal(signum)
    assert next(watch) == NOT_SERVING
    assert [len(call.result().scores) for call in calls] == [4096] * 4
    assert server.finish() == 0
    assert [event["msg"] for event in server.events if event["level"] == "INFO"][-2:] == ["draining", "stopped"]


def test_new_work_is_accepted_during_the_lame_duck_time(start_server: StartServer) -> None:
    server = start_server("--lame-duck-seconds", "1800", "--drain-seconds", "3600")
    channel = server.channel()
    watch = Health(channel).watch()
    assert next(watch) == SERVING
    server.process.send_signal(signal.SIGTERM)
    assert next(watch) == NOT_SERVING
    stub = RelevanceStub(channel)
    assert stub.Score(pb.ScoreRequest(query="a", titles=["b"])).results
    server.process.kill()


def test_a_closed_stdin_ends_the_server_that_was_asked_to_watch_it(start_server: StartServer) -> None:
    server = start_server("--exit-on-stdin-close")
    assert server.process.stdin is not None
    server.process.stdin.close()
    server.process.stdin = None
    assert server.finish() == 0


def failed_start(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "grpc_server", "--log-format", "text", *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stdout + result.stderr
    return result


def test_a_taken_port_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = failed_start("--port", str(port))
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stdout
    assert result.stderr == ""


def test_a_corrupt_bundle_is_one_clear_sentence(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(default_bundle_path(), tmp_path / "bundle"))
    (folder / "pair.onnx").write_bytes(b"")
    result = failed_start("--port", "0", "--bundle", str(folder))
    assert result.returncode == 1
    assert "pair.onnx has SHA-256" in result.stdout


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--port", "70000"], "--port: Input should be less than or equal to 65535"),
        (["--threads", "many"], "--threads: Input should be a valid integer"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--max-streams", "99999999999"], "--max-streams: Input should be less than or equal to 2147483647"),
        (["--connection-seconds", "inf"], "--connection-seconds: Input should be less than or equal to 2000000"),
    ],
)
def test_a_wrong_flag_is_named(flags: list[str], expected: str) -> None:
    result = failed_start(*flags)
    assert result.returncode == 2
    assert expected in result.stderr


def test_settings_come_from_the_environment_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    from grpc_server.settings import ServerSettings

    monkeypatch.setenv("QTR_MAX_ROWS", "7")
    monkeypatch.setenv("QTR_PORT", "9000")
    settings = ServerSettings.parse(["--port", "9001", "--no-reflection"])
    assert (settings.max_rows, settings.port, settings.reflection) == (7, 9001, False)
