"""A malformed request of the Open Inference Protocol is refused by a sentence that names its tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from relevance_stubs.inference import open_inference_pb2 as pb
from tests.grpc_server.api.conftest import InferenceStub, raw, typed
from tests.support.grpc_calls import refused


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
def test_a_malformed_request_names_its_tensor(
    stub: InferenceStub, request_: pb.ModelInferRequest, message: str
) -> None:
    error = refused(lambda: stub.ModelInfer(request_))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(message)
    detail = error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    assert status is not None
    assert status.details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == [message.partition(":")[0]]
