r"""The raw form of a BYTES tensor: each element is its length, 4 bytes little-endian, then that many bytes.

The Open Inference Protocol, version 2, defines it for `raw_input_contents` and `raw_output_contents`.

>>> encode_elements([b"red", b""])
b'\x03\x00\x00\x00red\x00\x00\x00\x00'
>>> decode_elements(encode_elements([b"red", b""]), 2, "query")
[b'red', b'']
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from relevance_model import RequestError

_LENGTH = struct.Struct("<I")


def encode_elements(elements: Iterable[bytes]) -> bytes:
    """Return the raw form of `elements`."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def decode_elements(raw: bytes, count: int, tensor: str) -> list[bytes]:
    """Return exactly `count` elements; the work is bounded by `count`, whatever lengths `raw` states.

    Parameters
    ----------
    raw
        The tensor's raw form.
    count
        Elements according to the tensor's shape.
    tensor
        The tensor's name, for errors.

    Raises
    ------
    RequestError
        If `raw` ends inside an element, or continues after the last one.
    """
    elements = []
    start = 0
    for element in range(count):
        left = len(raw) - start
        if left < _LENGTH.size:
            raise RequestError(tensor, f"element {element} of {count} needs a 4-byte length, but {left} bytes are left")
        (length,) = _LENGTH.unpack_from(raw, start)
        left -= _LENGTH.size
        if length > left:
            raise RequestError(tensor, f"element {element} of {count} claims {length} bytes, but {left} are left")
        start += _LENGTH.size + length
        elements.append(raw[start - length : start])
    if start != len(raw):
        raise RequestError(tensor, f"{len(raw) - start} bytes follow the last of {count} elements")
    return elements
