"""The Open Inference Protocol, from outside: a real server, our stubs, golden bytes, and the real Triton client."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from grpc_server.api.binary_tensor import decode_elements, encode_elements
from grpc_server.api.health import HealthServicer
from grpc_server.api.open_inference import OpenInferenceServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.core.engine import Engine
from grpc_server.core.registry import ModelRegistry
from relevance_model import Bundle, Scorer
from relevance_stubs.inference import open_inference_pb2 as pb
from relevance_stubs.inference import open_inference_pb2_grpc
from tests.support import small_bundles
from tests.support.admitted_server import admitted_server
from tests.support.gated_scorer import GatedScorer
from tests.support.server_process import ServerProcess

SERVICE = "inference.GRPCInferenceService"
StartServer = Callable[..., ServerProcess]
Tensor = pb.ModelInferRequest.InferInputTensor

QUERIES = [b"red shoes", b"usb cable", b"", b"desk lamp", b"red shoes"]
TITLES = [b"Red canvas sneakers size 42", "USB-C cable, 2 m é".encode(), b"Pan", b"\xff\xfe lamp", b"x" * 9000]
ROW_ERRORS = ["", "", "query is empty", "title is not valid UTF-8", "title has 9000 bytes, the limit is 8192"]


@pytest.fixture
def stub(server: ServerProcess) -> open_inference_pb2_grpc.GRPCInferenceServiceStub:
    return open_inference_pb2_grpc.GRPCInferenceServiceStub(server.channel())


def typed(queries: list[bytes], titles: list[bytes], shape: list[int] | None = None, **more: Any) -> Any:
    """Make a request in typed form."""
    request = pb.ModelInferRequest(**more)
    for name, texts in (("query", queries), ("title", titles)):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=shape or [len(texts)])
        tensor.contents.bytes_contents.extend(texts)
    return request


def raw(queries: list[bytes], titles: list[bytes], shape: list[int] | None = None, **more: Any) -> Any:
    """Make the same request in raw form."""
    request = typed(queries, titles, shape, **more)
    for tensor, texts in zip(request.inputs, (queries, titles), strict=True):
        tensor.ClearField("contents")
        request.raw_input_contents.append(encode_elements(texts))
    return request


def refused(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value


@pytest.mark.parametrize("shape", [[5], [5, 1]])
@pytest.mark.parametrize("form", [typed, raw])
def test_infer_answers_like_the_model_itself(
    stub, scorer: Scorer, student: Bundle, form: Any, shape: list[int]
) -> None:
    response = stub.ModelInfer(form(QUERIES, TITLES, shape, id="night-7"))
    expected = scorer.score_texts([query.decode() for query in QUERIES[:2]], [title.decode() for title in TITLES[:2]])
    manifest = student.manifest
    assert (response.id, response.model_name, response.model_version) == ("night-7", manifest.name, manifest.version)
    assert [(output.name, output.datatype) for output in response.outputs] == [
        ("score", "FP32"),
        ("label", "BYTES"),
        ("error", "BYTES"),
    ]
    assert [list(output.shape) for output in response.outputs] == [shape] * 3
    if form is raw:
        assert not any(output.HasField("contents") for output in response.outputs)
        scores = memoryview(response.raw_output_contents[0]).cast("f").tolist()
        labels, errors = (decode_elements(texts, 5, "answer") for texts in response.raw_output_contents[1:])
    else:
        assert not response.raw_output_contents
        scores = list(response.outputs[0].contents.fp32_contents)
        labels, errors = (list(output.contents.bytes_contents) for output in response.outputs[1:])
    assert scores[:2] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert [math.isnan(score) for score in scores] == [False, False, True, True, True]
    assert labels == [manifest.labels[label].encode() for label in expected.labels] + [b""] * 3
    assert [error.decode() for error in errors] == ROW_ERRORS
    assert response.parameters["infer_micros"].int64_param > 0


@pytest.mark.parametrize("form", [typed, raw])
def test_one_query_goes_with_every_title(stub, form: Any) -> None:
    titles = [b"Red shoes", b"Pan", b"Running shoes"]
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name="score")]
    each = stub.ModelInfer(form([b"red shoes"] * 3, titles, outputs=wanted))
    one = stub.ModelInfer(form([b"red shoes"], titles, outputs=wanted))
    assert one.outputs == each.outputs
    assert one.raw_output_contents == each.raw_output_contents
    assert list(one.outputs[0].shape) == [3]


@pytest.mark.parametrize("queries", [[], [b"red shoes"]])
@pytest.mark.parametrize("form", [typed, raw])
def test_no_rows_are_answered(stub, form: Any, queries: list[bytes]) -> None:
    request = form(queries, [])
    response = stub.ModelInfer(request)
    assert [list(output.shape) for output in response.outputs] == [[0]] * 3
    assert list(response.raw_output_contents) == ([b""] * 3 if form is raw else [])


def test_only_the_outputs_asked_for_come_in_the_order_asked_for(stub) -> None:
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("label", "score")]
    response = stub.ModelInfer(raw([b"red"], [b"Red shoes"], outputs=wanted))
    assert [output.name for output in response.outputs] == ["label", "score"]
    assert [len(contents) for contents in response.raw_output_contents[1:]] == [4]


def test_the_raw_form_byte_by_byte(start_server: StartServer, tmp_path: Path) -> None:
    bundle = small_bundles.cross_encoder(tmp_path / "bundle")
    server = start_server("--bundle", str(bundle.path))
    # Both texts' ids sum up to 9, so the logit is 0.
    request = (
        b"\x0a\x05small"
        b"\x2a\x11\x0a\x05query\x12\x05BYTES\x1a\x01\x01"
        b"\x2a\x11\x0a\x05title\x12\x05BYTES\x1a\x01\x01"
        b"\x3a\x07\x03\0\0\0red"
        b"\x3a\x09\x05\0\0\0shoes"
    )
    answer = server.channel().unary_unary(f"/{SERVICE}/ModelInfer")(request)
    response = pb.ModelInferResponse.FromString(answer)
    assert set(response.parameters) == {"queue_micros", "tokenize_micros", "infer_micros"}
    response.ClearField("parameters")
    assert response.SerializeToString() == (
        b"\x0a\x05small\x12\x011"
        b"\x2a\x10\x0a\x05score\x12\x04FP32\x1a\x01\x01"
        b"\x2a\x11\x0a\x05label\x12\x05BYTES\x1a\x01\x01"
        b"\x2a\x11\x0a\x05error\x12\x05BYTES\x1a\x01\x01"
        b"\x32\x04\0\0\0\x3f"
        b"\x32\x07\x03\0\0\0yes"
        b"\x32\x04\0\0\0\0"
    )


def changed(change: Callable[[Any], object], form: Any = raw) -> Any:
    request = form([b"red", b"blue"], [b"Red shoes", b"Blue hat"])
    change(request)
    return request


def wants(*names: str) -> Callable[[Any], object]:
    return lambda r: [r.outputs.add(name=name) for name in names]


MALFORMED = {
    "unknown input": (changed(lambda r: setattr(r.inputs[0], "name", "text")), "inputs: 'text' is unknown"),
    "missing input": (changed(lambda r: r.inputs.pop(), typed), "inputs: title is missing"),
    "no inputs": (pb.ModelInferRequest(), "inputs: query is missing"),
    "input twice": (changed(lambda r: setattr(r.inputs[0], "name", "title")), "inputs: title is given more than once"),
    "unknown output": (changed(wants("logit")), "outputs: 'logit' is unknown; there are score, label, error"),
    "output twice": (changed(wants("score", "score")), "outputs: score is given more than once"),
    "datatype": (changed(lambda r: setattr(r.inputs[1], "datatype", "FP32")), "title: has the datatype 'FP32'"),
    "no shape": (changed(lambda r: r.inputs[0].ClearField("shape")), "query: has the shape [], expected [n] or [n, 1]"),
    "negative shape": (changed(lambda r: r.inputs[0].shape.__setitem__(0, -2)), "query: has the shape [-2]"),
    "two columns": (changed(lambda r: r.inputs[0].shape.append(2)), "query: has the shape [2, 2]"),
    "many dimensions": (changed(lambda r: r.inputs[0].shape.extend([1] * 98)), "query: has the shape of 99 dimensions"),
    "too many rows": (typed([b"a"] * 4097, [b"b"]), "query: 4097 entries, the limit is 4096 a request"),
    "a shape too large": (
        changed(lambda r: r.inputs[1].shape.__setitem__(0, 1 << 60)),
        "title: 1152921504606846976 ent",
    ),
    "columns disagree": (typed([b"a", b"b"], [b"c"]), "title: has 1 rows, but query has 2; expected as many or 1"),
    "shape and contents disagree": (
        changed(lambda r: r.inputs[1].contents.bytes_contents.append(b"more"), typed),
        "title: has 3 elements in bytes_contents, but its shape is [2]",
    ),
    "raw entry missing": (changed(lambda r: r.raw_input_contents.pop()), "raw_input_contents: 1 entries for 2 inputs"),
    "raw and typed": (
        changed(lambda r: r.inputs[1].contents.bytes_contents.append(b"x")),
        "title: has contents, which must be empty when raw_input_contents is not",
    ),
    "raw cut off": (
        changed(lambda r: r.raw_input_contents.__setitem__(1, r.raw_input_contents[1][:-1])),
        "title: element 1 of 2 claims 8 bytes, but 7 are left",
    ),
    "raw too long": (
        changed(lambda r: r.raw_input_contents.__setitem__(0, r.raw_input_contents[0] + b"\0\0\0\0")),
        "query: 4 bytes follow the last of 2 elements",
    ),
    "shared memory": (
        changed(
            lambda r: r.inputs[0].parameters["shared_memory_region"].MergeFrom(pb.InferParameter(string_param="x"))
        ),
        "query: the parameter shared_memory_region is not supported",
    ),
}


@pytest.mark.parametrize(("request_", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_names_its_tensor(stub, request_: Any, message: str) -> None:
    error = refused(lambda: stub.ModelInfer(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(message)
    detail = error_details_pb2.BadRequest()
    assert rpc_status.from_call(error).details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == [message.partition(":")[0]]


@pytest.mark.parametrize(
    "wanted", [{"model_name": "other"}, {"model_version": "0.0.0-none"}, {"model_name": "x" * 20_000}]
)
def test_another_model_is_not_found(stub, wanted: dict[str, str]) -> None:
    error = refused(lambda: stub.ModelInfer(raw([b"a"], [b"b"], **wanted)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    # The message of a method that takes no texts may have 1 KiB.
    name, version = wanted.get("model_name", "")[:1000], wanted.get("model_version", "")
    error = refused(lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready


def test_the_metadata_describes_server_and_model(stub, student: Bundle) -> None:
    server = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (server.name, server.version, list(server.extensions)) == ("qtr", metadata.version("qtr-relevance"), [])
    model = stub.ModelMetadata(pb.ModelMetadataRequest(name=student.manifest.name))
    assert (model.name, list(model.versions)) == (student.manifest.name, [student.manifest.version])
    assert model.platform == "onnxruntime_onnx"
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in [*model.inputs, *model.outputs]] == [
        ("query", "BYTES", [-1]),
        ("title", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("label", "BYTES", [-1]),
        ("error", "BYTES", [-1]),
    ]


def test_the_service_is_listed_and_healthy(server: ServerProcess) -> None:
    channel = server.channel()
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_priority_and_ids_work_as_in_the_other_protocol(start_server: StartServer) -> None:
    server = start_server("--log-level", "DEBUG")
    stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(server.channel())
    request = raw([b"privatequery"], [b"privatetitle"], id="message-1")
    stub.ModelInfer(request)
    stub.ModelInfer(request, metadata=[("x-request-id", "call-1"), ("x-priority", "bulk")])
    error = refused(lambda: stub.ModelInfer(request, metadata=[("x-priority", "urgent")]))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "x-priority: must be one of interactive, bulk"
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    accepted = [event for event in server.events if event["msg"] == "work accepted"]
    assert [(event["request_id"], event["lane"]) for event in accepted] == [
        ("message-1", "interactive"),
        ("call-1", "bulk"),
    ]
    assert "private" not in str(server.events)


async def test_a_draining_server_is_live_and_not_ready(student: Bundle) -> None:
    scorer, health = GatedScorer(student), HealthServicer((SERVICE,))
    engine = Engine(ModelRegistry(scorer), max_queued_tokens=1000, batch_tokens=1000, mixed_batch_tokens=1000)
    engine.start()
    server = admitted_server()
    limits = RequestLimits(max_rows=100, max_message_bytes=1 << 20, max_queued_tokens=1000)
    servicer = OpenInferenceServicer(engine, limits, health)
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    health.set_serving(True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        model = pb.ModelReadyRequest(name=student.manifest.name)
        assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
        assert (await stub.ModelReady(model)).ready
        scorer.gate.clear()
        accepted = asyncio.ensure_future(stub.ModelInfer(raw([b"a"], [b"b"])))
        await asyncio.to_thread(scorer.entered.wait)
        health.set_serving(False)
        drained = asyncio.create_task(engine.drain())
        assert (await stub.ServerLive(pb.ServerLiveRequest())).live
        assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready
        assert not (await stub.ModelReady(model)).ready
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.ModelInfer(raw([b"a"], [b"b"]))
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAVAILABLE, "the server is draining")
        assert "grpc-retry-pushback-ms" in dict(error.value.trailing_metadata() or ())
        scorer.gate.set()
        assert (await accepted).model_name == student.manifest.name
        await drained
    await server.stop(None)


@pytest.fixture(scope="module")
def seen_by_triton(server: ServerProcess, student: Bundle) -> Any:
    command = [sys.executable, "-W", "error", "-m", "tests.support.triton_calls", server.address, student.manifest.name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_the_triton_client_works_unchanged(seen_by_triton: Any, kind: str, scorer: Scorer, student: Bundle) -> None:
    seen = seen_by_triton[kind]
    assert [seen[what] for what in ("live", "ready", "model_ready", "other_ready")] == [True, True, True, False]
    assert seen["server"] == {"name": "qtr", "version": metadata.version("qtr-relevance")}
    assert (seen["model"]["name"], seen["model"]["versions"]) == (student.manifest.name, [student.manifest.version])
    assert [tensor["name"] for tensor in seen["model"]["outputs"]] == ["score", "label", "error"]
    queries, titles = ["red shoes", "usb cable"], ["Red canvas sneakers, size 42", "USB-C cable é 2 m"]
    expected = scorer.score_texts(queries, titles)
    assert (seen["id"], seen["shape"], seen["dtype"]) == ("night-7", [3, 1], "float32")
    assert seen["scores"] == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert seen["last_is_nan"]
    assert seen["labels"] == [student.manifest.labels[label] for label in expected.labels] + [""]
    assert seen["errors"] == ["", "", "query is empty"]
    one = scorer.score_texts(["red shoes"], [*titles, "Cast iron pan"], [0, 0, 0])
    assert seen["broadcast_labels"] == [student.manifest.labels[label] for label in one.labels]
    assert seen["broadcast_score"] is None
    assert seen["too_many"] == ["StatusCode.INVALID_ARGUMENT", "query: 5000 entries, the limit is 4096 a request"]
    assert seen["other_model"][0] == "StatusCode.NOT_FOUND"
    assert seen["other_priority"] == ["StatusCode.INVALID_ARGUMENT", "x-priority: must be one of interactive, bulk"]
