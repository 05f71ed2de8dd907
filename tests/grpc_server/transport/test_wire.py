"""Messages with too many values are recognised in their bytes, which are read as the parser reads them."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from grpc_server.transport import wire
from grpc_server.transport.wire import ValueBound
from relevance_model import RequestError
from relevance_stubs.inference import open_inference_pb2 as inference_pb
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from tests.support.protobuf_wire import field, varint

ROWS = 4096
LARGE_BYTES = 1 << 20
BATCH = ValueBound(pb.ScoreBatchRequest, column_values=ROWS, values=4 * ROWS + 1024)
INFER = ValueBound(inference_pb.ModelInferRequest, column_values=ROWS, values=4 * ROWS + 1024)
FILLED = bytes(wire.SCANNED_BYTES)


# An unknown field makes each message large enough to be looked through, whatever else it holds.
LARGE = field(100, FILLED)


def test_the_largest_honest_request_passes() -> None:
    request = pb.ScoreBatchRequest(
        queries=["usb cable, two metres long"] * ROWS,
        titles=["a title of the usual length, more or less, in some colour"] * ROWS,
        query_index=range(ROWS),
        title_index=range(ROWS),
        model=pb.ModelVersion(name="student", version="1"),
    )
    BATCH.check(request.SerializeToString())
    infer = inference_pb.ModelInferRequest(model_name="student")
    for name in ("query", "title"):
        tensor = infer.inputs.add(name=name, datatype="BYTES", shape=[ROWS])
        tensor.contents.bytes_contents.extend([b"some text that is long enough for a title"] * ROWS)
    INFER.check(infer.SerializeToString())


@pytest.mark.parametrize(
    ("bound", "body", "named"),
    [
        (BATCH, b"\x12\x00" * 5000, "titles"),
        (BATCH, field(4, bytes(5000)), "title_index"),
        (BATCH, field(3, b"\x80\x01" * 5000), "query_index"),
        (BATCH, b"\x18\x00" * 5000, "query_index"),
        (BATCH, field(4, bytes(3000)) * 2, "title_index"),
        (BATCH, b"\x2a\x00" * 50_000, "request"),
        (BATCH, b"\x7a\x00" * 50_000, "request"),
        (BATCH, b"\x7b\x7c" * 50_000, "request"),
        (BATCH, field(5, b"\x0a\x00" * 50_000), "request"),
        # A length of more than 64 bits is short for the parser, which drops what is beyond.
        (BATCH, (b"\x2a" + b"\x80" * 9 + b"\x02") * 50_000, "request"),
        (INFER, b"\x2a\x00" * 5000, "inputs"),
        (INFER, b"".join(field(4, field(1, varint(number))) for number in range(5000)), "parameters"),
        (INFER, field(5, field(5, field(3, bytes(5000)))), "int64_contents"),
        (INFER, field(5, field(5, field(7, bytes(8 * 5000)))), "fp64_contents"),
        (INFER, field(5, field(5, b"\x42\x00" * 5000)), "bytes_contents"),
        (INFER, field(5, field(3, bytes(5000))), "shape"),
    ],
)
def test_a_column_of_too_many_values_is_named_before_anything_is_parsed(
    bound: ValueBound, body: bytes, named: str
) -> None:
    for message in (LARGE + body, body + LARGE):
        with pytest.raises(RequestError) as error:
            bound.check(message)
        assert error.value.field == named


pieces = st.one_of(
    st.binary(max_size=12),
    st.builds(field, st.integers(1, 16), st.binary(max_size=40)),
    st.builds(lambda n, v: varint(n << 3) + varint(v), st.integers(1, 16), st.integers(0, (1 << 70) - 1)),
    st.builds(lambda n, kind, b: varint(n << 3 | kind) + b, st.integers(0, 1 << 30), st.integers(0, 7), st.binary()),
)


@given(st.lists(pieces, max_size=8), st.randoms(use_true_random=False))
def test_odd_encodings_hide_no_values(parts: list[bytes], rng: random.Random) -> None:
    """What the parser reads on from, the look reads on from: too many titles behind it are found."""
    odd = b"".join(parts)
    body = odd + b"\x12\x00" * (ROWS + 1) + LARGE
    try:
        parsed = pb.ScoreBatchRequest.FromString(body)
    except DecodeError:
        return
    if len(parsed.titles) > ROWS:
        with pytest.raises(RequestError):
            BATCH.check(body)


@pytest.mark.parametrize("junk", [b"\xff", b"\x80", b"\x12\xff", b"\x07", b"\x0b"])
def test_bytes_that_are_not_a_message_are_left_to_the_parser_after_a_short_scan(junk: bytes) -> None:
    message = junk * (LARGE_BYTES // len(junk))
    tracemalloc.start()
    with suppress(RequestError):
        BATCH.check(message)
    assert tracemalloc.get_traced_memory()[1] < 1 << 16  # no number of millions of bits was put together
    tracemalloc.stop()


def test_the_scan_itself_takes_little_memory() -> None:
    body = b"\x12\x00" * (2 << 20)
    packed = field(4, bytes(4 << 20))
    for message, most in ((body, 1 << 20), (packed, 9 << 20)):
        tracemalloc.start()
        with pytest.raises(RequestError):
            BATCH.check(message)
        assert tracemalloc.get_traced_memory()[1] < most
        tracemalloc.stop()
