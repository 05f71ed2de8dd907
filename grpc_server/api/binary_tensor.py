"""The raw form of a BYTES tensor: each element is its length, 4 bytes little-endian, then that many bytes.

As the Open Inference Protocol, version 2, defines it for `raw_input_contents` and `raw_output_contents`. Pure:
bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from relevance_model import RequestError

_LENGTH = struct.Struct("<I")


def encode_elements(elements: Iterable[bytes]) -> bytes:
    """Write `elements` one after the other."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def decode_elements(raw: bytes, count: int, tensor: str) -> list[bytes]:
    """Read exactly `count` elements; no more work is done than they need, whatever `raw` claims to hold.

    Parameters
    ----------
    raw
        The tensor's raw form.
    count
        Elements that its shape announces.
    tensor
        Its name, for the error.

    Raises
    ------
    RequestError
        If `raw` ends inside an element, or goes on after the last one.
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
