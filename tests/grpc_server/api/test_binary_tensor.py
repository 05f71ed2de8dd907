"""The raw form of BYTES tensors."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_server.api.binary_tensor import decode_elements, encode_elements
from relevance_model import RequestError


def test_the_raw_form_is_a_little_endian_length_and_the_bytes() -> None:
    assert encode_elements([b"red", b"", "é".encode()]) == b"\x03\0\0\0red\0\0\0\0\x02\0\0\0\xc3\xa9"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_elements_come_back_as_they_were(elements: list[bytes]) -> None:
    assert decode_elements(encode_elements(elements), len(elements), "title") == elements


@given(st.binary(max_size=60), st.integers(0, 8))
def test_any_bytes_are_read_in_full_or_refused_by_name(raw: bytes, count: int) -> None:
    try:
        elements = decode_elements(raw, count, "title")
    except RequestError as error:
        assert error.field == "title"
    else:
        assert len(elements) == count
        assert encode_elements(elements) == raw


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_a_cut_off_tensor_is_refused(elements: list[bytes], data: st.DataObject) -> None:
    raw = encode_elements(elements)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(RequestError, match="left"):
        decode_elements(raw[:cut], len(elements), "query")


@pytest.mark.parametrize(
    ("raw", "count", "message"),
    [
        (b"", 1, "query: element 0 of 1 needs a 4-byte length, but 0 bytes are left"),
        (b"\x01\0\0\0a\0\0", 2, "query: element 1 of 2 needs a 4-byte length, but 2 bytes are left"),
        (b"\xff\xff\xff\xffabc", 1, "query: element 0 of 1 claims 4294967295 bytes, but 3 are left"),
        (struct.pack(">I", 3) + b"red", 1, "query: element 0 of 1 claims 50331648 bytes, but 3 are left"),
        (b"\x01\0\0\0a\x01\0\0\0b", 1, "query: 5 bytes follow the last of 1 elements"),
        (b"\0\0\0\0" * 1000, 0, "query: 4000 bytes follow the last of 0 elements"),
    ],
    ids=["nothing", "no room for a length", "length too large", "big-endian", "more than the shape", "empty shape"],
)
def test_a_malformed_tensor_is_one_clear_sentence(raw: bytes, count: int, message: str) -> None:
    with pytest.raises(RequestError) as error:
        decode_elements(raw, count, "query")
    assert str(error.value) == message
