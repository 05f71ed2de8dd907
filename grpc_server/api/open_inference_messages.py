"""Conversion between the tensors of the Open Inference Protocol and the types of the model and the engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grpc_server.api.binary_tensor import decode_elements, encode_elements
from grpc_server.api.relevance_messages import RequestLimits, check_rows
from grpc_server.core.results import Result
from relevance_model import BundleManifest, Pairs, RequestError
from relevance_stubs.inference import open_inference_pb2 as pb

INPUTS = {"query": "BYTES", "title": "BYTES"}
OUTPUTS = {"score": "FP32", "label": "BYTES", "error": "BYTES"}
# The format of the model, in the terms of Triton's backends.
PLATFORM = "onnxruntime_onnx"
# Extensions that change where a tensor is or what it holds. Ignoring them would give a wrong result.
_UNSUPPORTED_PARAMETERS = ("shared_memory_region", "classification")
_MAX_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Inference:
    """A `ModelInfer` request.

    Attributes
    ----------
    pairs
        The rows.
    shape
        Shape of every output.
    outputs
        Names of the requested outputs, in their order.
    raw
        Whether the request has, and the response must have, tensors in raw form.
    """

    pairs: Pairs
    shape: tuple[int, ...]
    outputs: tuple[str, ...]
    raw: bool


def read_request(request: pb.ModelInferRequest, limits: RequestLimits) -> Inference:
    """Return the request's rows and options, checked.

    Raises
    ------
    RequestError
        If a tensor is unknown, missing, malformed, of another type or shape, or has too many rows.
    """
    _check_names("inputs", request.inputs, INPUTS)
    _check_names("outputs", request.outputs, OUTPUTS)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError("raw_input_contents", f"{len(raw)} entries for {len(request.inputs)} inputs")
    tensors = {tensor.name: (i, tensor) for i, tensor in enumerate(request.inputs)}
    texts = {}
    for name in INPUTS:
        if name not in tensors:
            raise RequestError("inputs", f"{name} is missing")
        i, tensor = tensors[name]
        texts[name] = _texts(tensor, raw[i] if raw else None, limits)
    return Inference(
        pairs=_pairs(texts["query"], texts["title"]),
        shape=tuple(tensors["title"][1].shape),
        outputs=tuple(output.name for output in request.outputs) or tuple(OUTPUTS),
        raw=bool(raw),
    )


def write_response(request_id: str, inference: Inference, result: Result) -> pb.ModelInferResponse:
    """Return the response with the requested outputs, in raw form if the request was."""
    manifest = result.bundle.manifest
    response = pb.ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=request_id)
    for stage in ("queue", "tokenize", "infer"):
        response.parameters[f"{stage}_micros"].int64_param = round(getattr(result, f"{stage}_seconds") * 1e6)
    for name in inference.outputs:
        output = response.outputs.add(name=name, datatype=OUTPUTS[name], shape=inference.shape)
        if name == "score":
            if inference.raw:
                response.raw_output_contents.append(result.scores.astype("<f4").tobytes())
            else:
                output.contents.fp32_contents.extend(result.scores.tolist())
        else:
            texts = _labels(result) if name == "label" else _errors(result)
            if inference.raw:
                response.raw_output_contents.append(encode_elements(texts))
            else:
                output.contents.bytes_contents.extend(texts)
    return response


def model_metadata(manifest: BundleManifest, versions: list[str]) -> pb.ModelMetadataResponse:
    """Return the description of a model's tensors; `versions` are its served versions."""
    tensor = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=manifest.name,
        versions=versions,
        platform=PLATFORM,
        inputs=[tensor(name=name, datatype=datatype, shape=[-1]) for name, datatype in INPUTS.items()],
        outputs=[tensor(name=name, datatype=datatype, shape=[-1]) for name, datatype in OUTPUTS.items()],
    )


def _check_names(
    field: str,
    tensors: Iterable[pb.ModelInferRequest.InferInputTensor | pb.ModelInferRequest.InferRequestedOutputTensor],
    known: dict[str, str],
) -> None:
    seen = set()
    for tensor in tensors:
        name = tensor.name
        if name not in known:
            raise RequestError(field, f"{name[:_MAX_SHOWN]!r} is unknown; there are {', '.join(known)}")
        if name in seen:
            raise RequestError(field, f"{name} is given more than once")
        seen.add(name)
        for parameter in _UNSUPPORTED_PARAMETERS:
            if parameter in tensor.parameters:
                raise RequestError(name, f"the parameter {parameter} is not supported")


def _texts(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, limits: RequestLimits) -> list[str]:
    name = tensor.name
    if tensor.datatype != INPUTS[name]:
        raise RequestError(name, f"has the datatype {tensor.datatype[:_MAX_SHOWN]!r}, expected {INPUTS[name]}")
    shape = list(tensor.shape)
    if len(shape) not in {1, 2} or shape[0] < 0 or shape[1:] not in ([], [1]):
        shown = shape if len(shape) <= 4 else f"of {len(shape)} dimensions"
        raise RequestError(name, f"has the shape {shown}, expected [n] or [n, 1]")
    check_rows(shape[0], name, limits)
    typed = tensor.contents.bytes_contents
    if raw is None:
        if len(typed) != shape[0]:
            raise RequestError(name, f"has {len(typed)} elements in bytes_contents, but its shape is {shape}")
        elements = list(typed)
    else:
        if tensor.contents.ByteSize():
            raise RequestError(name, "has contents, which must be empty when raw_input_contents is not")
        elements = decode_elements(raw, shape[0], name)
    # A byte that is not UTF-8 becomes a lone surrogate, which gives its row an error when the text is tokenized.
    return [element.decode(errors="surrogateescape") for element in elements]


def _pairs(queries: list[str], titles: list[str]) -> Pairs:
    if len(queries) == 1:
        return Pairs.from_columns(queries if titles else [], titles, [0] * len(titles))
    if len(queries) != len(titles):
        raise RequestError("title", f"has {len(titles)} rows, but query has {len(queries)}; expected as many or 1")
    return Pairs.from_columns(queries, titles)


def _labels(result: Result) -> list[bytes]:
    names = [label.encode() for label in result.bundle.manifest.labels]
    return [b"" if row in result.row_errors else names[label] for row, label in enumerate(result.labels.tolist())]


def _errors(result: Result) -> list[bytes]:
    return [result.row_errors.get(row, "").encode() for row in range(len(result.scores))]
