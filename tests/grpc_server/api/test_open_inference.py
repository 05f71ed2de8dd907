"""The Open Inference Protocol, from outside: a real server, our stubs, golden bytes."""

from __future__ import annotations

import asyncio
import math
import signal
import struct
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from grpc_server.api.binary_tensor import decode_elements
from grpc_server.api.health import HealthServicer
from grpc_server.api.open_inference import OpenInferenceServicer
from grpc_server.api.relevance_messages import RequestLimits
from grpc_server.core.engine import Engine
from grpc_server.core.registry import ModelRegistry
from relevance_model import Bundle, Scorer
from relevance_stubs.inference import open_inference_pb2 as pb
from relevance_stubs.inference import open_inference_pb2_grpc
from tests.grpc_server.api.conftest import InferenceStub, raw, typed
from tests.support import small_bundles
from tests.support.admitted_server import admitted_server
from tests.support.gated_scorer import GatedScorer
from tests.support.grpc_calls import Health, refused
from tests.support.server_process import ServerProcess

SERVICE = "inference.GRPCInferenceService"
StartServer = Callable[..., ServerProcess]

QUERIES = [b"red shoes", b"usb cable", b"", b"desk lamp", b"red shoes"]
TITLES = [b"Red canvas sneakers size 42", "USB-C cable, 2 m é".encode(), b"Pan", b"\xff\xfe lamp", b"x" * 9000]
ROW_ERRORS = ["", "", "query is empty", "title is not valid UTF-8", "title has 9000 bytes, the limit is 8192"]


@pytest.mark.parametrize("shape", [[5], [5, 1]])
@pytest.mark.parametrize("form", [typed, raw])
def test_infer_answers_like_the_model_itself(
    stub: InferenceStub, scorer: Scorer, student: Bundle, form: Any, shape: list[int]
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
        scores = list(struct.unpack("<5f", response.raw_output_contents[0]))
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
def test_one_query_goes_with_every_title(stub: InferenceStub, form: Any) -> None:
    titles = [b"Red shoes", b"Pan", b"Running shoes"]
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name="score")]
    each = stub.ModelInfer(form([b"red shoes"] * 3, titles, outputs=wanted))
    one = stub.ModelInfer(form([b"red shoes"], titles, outputs=wanted))
    assert one.outputs == each.outputs
    assert one.raw_output_contents == each.raw_output_contents
    assert list(one.outputs[0].shape) == [3]


@pytest.mark.parametrize("queries", [[], [b"red shoes"]])
@pytest.mark.parametrize("form", [typed, raw])
def test_no_rows_are_answered(stub: InferenceStub, form: Any, queries: list[bytes]) -> None:
    request = form(queries, [])
    response = stub.ModelInfer(request)
    assert [list(output.shape) for output in response.outputs] == [[0]] * 3
    assert list(response.raw_output_contents) == ([b""] * 3 if form is raw else [])


def test_only_the_outputs_asked_for_come_in_the_order_asked_for(stub: InferenceStub) -> None:
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
    infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = server.channel().unary_unary(f"/{SERVICE}/ModelInfer")
    response = pb.ModelInferResponse.FromString(infer(request))
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


@pytest.mark.parametrize(
    "wanted", [{"model_name": "other"}, {"model_version": "0.0.0-none"}, {"model_name": "x" * 20_000}]
)
def test_another_model_is_not_found(stub: InferenceStub, wanted: dict[str, Any]) -> None:
    error = refused(lambda: stub.ModelInfer(raw([b"a"], [b"b"], **wanted)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    # The message of a method that takes no texts may have 1 KiB.
    name, version = wanted.get("model_name", "")[:1000], wanted.get("model_version", "")
    error = refused(lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version)))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready


def test_the_metadata_describes_server_and_model(stub: InferenceStub, student: Bundle) -> None:
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
    assert Health(channel).check(SERVICE) == health_pb2.HealthCheckResponse.SERVING
    assert SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_priority_and_ids_work_as_in_the_other_protocol(start_server: StartServer) -> None:
    server = start_server("--log-level", "DEBUG")
    stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(server.channel())
    request = raw([b"privatequery"], [b"privatetitle"], id="message-1")
    stub.ModelInfer(request)
    stub.ModelInfer(request, metadata=(("x-request-id", "call-1"), ("x-priority", "bulk")))
    error = refused(lambda: stub.ModelInfer(request, metadata=(("x-priority", "urgent"),)))
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
