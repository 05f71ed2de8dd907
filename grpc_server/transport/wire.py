"""Counts the values of a protobuf message in its bytes, before it is parsed.

A parsed hostile message takes up to 40 times its bytes: an empty text or sub-message is two bytes on the wire and an
object in memory, and only the size of the message bounds their number. So large messages are scanned first, and the
scan ends at the first value over the limit. Small messages are not scanned, since they stay small when parsed.
"""

from __future__ import annotations

from typing import Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from relevance_model import RequestError

# Messages of fewer bytes are not scanned.
SCANNED_BYTES: Final = 256 << 10
# Wire types, as protobuf's encoding defines them.
_VARINT: Final = 0
_LENGTH: Final = 2
_GROUPS: Final = (3, 4)
_FIXED_BYTES: Final = {1: 8, 5: 4}
_CONTINUES: Final = 0x80
_VARINT_BYTES: Final = 10
_MAX_VARINT: Final = (1 << 64) - 1
_ENDS: Final = bytes(range(_CONTINUES))
_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_WIDTHS: Final = {
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64), 8),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32), 4),
}


class ValueBound:
    """Refuses messages of one type that hold too many values.

    Parameters
    ----------
    message
        The type.
    column_values
        Values that one repeated field of a message may have.
    values
        Values that a message may hold in all, those of its sub-messages included.
    """

    def __init__(self, message: type[Message], *, column_values: int, values: int) -> None:
        self._message = cast(Descriptor, message.DESCRIPTOR)
        self._column_values = column_values
        self._values = values

    def check(self, raw: bytes) -> None:
        """Check that `raw` holds no more values; bytes that are not a message are left to the parser.

        Raises
        ------
        RequestError
            With the name of the column that is too long, or `request` if all values together are too many.
        """
        if len(raw) >= SCANNED_BYTES:
            _Scan(raw, self._column_values, self._values).count(self._message, 0, len(raw))


class _Scan:
    """The scan of one message."""

    def __init__(self, raw: bytes, column_values: int, values: int) -> None:
        self._raw = raw
        self._column_values = column_values
        self._max_values = self._left = values

    def count(self, message: Descriptor, start: int, stop: int) -> None:
        """Count the values of the `message` between `start` and `stop`."""
        raw = self._raw
        columns: dict[int, int] = {}
        fields = message.fields_by_number
        while start < stop:
            tag = raw[start]
            start += 1
            if tag >= _CONTINUES:
                tag, start = self._varint(start - 1, stop)
                if start > stop:
                    return
            kind, field, end = tag & 7, fields.get(tag >> 3), start
            if kind == _LENGTH:
                size, start = self._varint(start, stop)
                end = start + size
            elif kind == _VARINT:
                end = self._varint(start, stop)[1]
            elif kind in _FIXED_BYTES:
                end = start + _FIXED_BYTES[kind]
            elif kind not in _GROUPS:
                return
            if end > stop:
                return
            count = _packed(field, raw, start, end) if kind == _LENGTH and field is not None else 1
            if field is not None and field.is_repeated:
                columns[field.number] = columns.get(field.number, 0) + count
                if columns[field.number] > self._column_values:
                    raise RequestError(field.name, f"more than {self._column_values} entries, which is the limit")
            self._left -= max(count, 1)
            if self._left < 0:
                raise RequestError("request", f"holds more than {self._max_values} values")
            if kind == _LENGTH and field is not None and field.message_type is not None:
                self.count(field.message_type, start, end)
            start = end

    def _varint(self, start: int, stop: int) -> tuple[int, int]:
        """Return the number that begins at `start`, and its end; the end is beyond `stop` if the number is cut off."""
        value = shift = 0
        # A parser rejects a longer one as well.
        for position, byte in enumerate(self._raw[start : min(stop, start + _VARINT_BYTES)], start + 1):
            value |= (byte & 0x7F) << shift
            if byte < _CONTINUES:
                # Parsers also drop bits beyond 64; the scan must not end before a parser would.
                return value & _MAX_VARINT, position
            shift += 7
        return value, stop + 1


def _packed(field: FieldDescriptor, raw: bytes, start: int, end: int) -> int:
    """Return the number of values of `field` between `start` and `end`: one, unless they are packed numbers."""
    if not field.is_repeated or field.message_type is not None or field.type in _TEXTS:
        return 1
    width = _WIDTHS.get(field.type)
    # A byte without the continuation bit ends a varint. Counted in C, since there may be millions.
    return (end - start) // width if width else end - start - len(raw[start:end].translate(None, _ENDS))
