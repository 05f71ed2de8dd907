"""Requests of the Open Inference Protocol, in its typed and in its raw form."""

from __future__ import annotations

from typing import Any

import pytest

from grpc_server.api.binary_tensor import encode_elements
from relevance_stubs.inference import open_inference_pb2 as pb
from relevance_stubs.inference import open_inference_pb2_grpc
from tests.support.server_process import ServerProcess

InferenceStub = open_inference_pb2_grpc.GRPCInferenceServiceStub


@pytest.fixture
def stub(server: ServerProcess) -> InferenceStub:
    return open_inference_pb2_grpc.GRPCInferenceServiceStub(server.channel())


def typed(
    queries: list[bytes], titles: list[bytes], shape: list[int] | None = None, **more: Any
) -> pb.ModelInferRequest:
    """Make a request in typed form."""
    request = pb.ModelInferRequest(**more)
    for name, texts in (("query", queries), ("title", titles)):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=shape or [len(texts)])
        tensor.contents.bytes_contents.extend(texts)
    return request


def raw(queries: list[bytes], titles: list[bytes], shape: list[int] | None = None, **more: Any) -> pb.ModelInferRequest:
    """Make the same request in raw form."""
    request = typed(queries, titles, shape, **more)
    for tensor, texts in zip(request.inputs, (queries, titles), strict=True):
        tensor.ClearField("contents")
        request.raw_input_contents.append(encode_elements(texts))
    return request
