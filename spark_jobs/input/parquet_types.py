"""Types of Parquet columns: when two are the same, and which ones Spark cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_UNREADABLE = (
    (pa.types.is_float16, "float32"),
    (pa.types.is_time32, "time64('us')"),
    (pa.types.is_decimal256, "decimal128 of at most 38 digits"),
    (lambda kind: isinstance(kind, pa.UuidType), "string"),
)


def _plain(kind: Any) -> Any:
    """Return a type as Parquet stores it, whatever its layout in Arrow is."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    return kind


def type_name(kind: Any) -> str:
    """Return the name of a type as messages show it; equal for types that Parquet stores alike.

    Examples
    --------
    >>> type_name(pa.dictionary(pa.int32(), pa.large_string())), type_name(pa.timestamp("us", "Europe/Rome"))
    ('string', 'timestamp[us, UTC]')
    """
    kind = _plain(kind)
    if pa.types.is_timestamp(kind):
        # The name of the zone is only metadata; the values are in UTC.
        return f"timestamp[{kind.unit}{', UTC' if kind.tz else ''}]"
    return str(kind).replace("large_list", "list")


def _parts(kind: Any) -> Iterator[Any]:
    yield kind
    for number in range(kind.num_fields):
        yield from _parts(kind.field(number).type)


def readable_instead(kind: Any) -> str | None:
    """Return the type to write instead of one that Spark cannot read; `None` if Spark can read it.

    Examples
    --------
    >>> readable_instead(pa.float16())
    'float32'
    >>> readable_instead(pa.list_(pa.timestamp("ns")))
    'timestamps in microseconds'
    """
    for number, part in enumerate(_parts(kind)):
        for is_one, instead in _UNREADABLE:
            if is_one(part):
                return instead
        if number and is_nanoseconds(part):
            return "timestamps in microseconds"
    return None


def ambiguous_field(kind: Any) -> str | None:
    """Return a field that a struct within a type has twice, or also in another case; `None` if there is none."""
    for part in _parts(kind):
        names: list[str] = [part.field(number).name.lower() for number in range(part.num_fields)]
        if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
            return twice
    return None


def is_nanoseconds(kind: Any) -> bool:
    """Return whether a type is a timestamp in nanoseconds."""
    return bool(pa.types.is_timestamp(kind) and kind.unit == "ns")
