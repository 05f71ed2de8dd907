"""Protobuf's encoding, written by hand: for messages that no library would write."""

from __future__ import annotations


def varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    return encoded + bytes([number])


def field(number: int, body: bytes) -> bytes:
    """Write a field of the wire type of texts, sub-messages and packed numbers."""
    return varint(number << 3 | 2) + varint(len(body)) + body
