"""Types of Parquet columns that are the same, and types that Spark cannot read."""

from __future__ import annotations

import pyarrow as pa
import pytest

from spark_jobs.input.parquet_types import is_nanoseconds, readable_instead, type_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.string(), pa.large_string()),
        (pa.string(), pa.dictionary(pa.int8(), pa.string())),
        (pa.binary(), pa.large_binary()),
        (pa.timestamp("s"), pa.timestamp("ms")),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Rome")),
        (pa.list_(pa.field("element", pa.int64())), pa.large_list(pa.field("element", pa.int64()))),
    ],
    ids=str,
)
def test_types_that_parquet_stores_alike(one: pa.DataType, other: pa.DataType) -> None:
    assert type_name(one) == type_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(pa.int32(), pa.int64()), (pa.timestamp("us"), pa.timestamp("us", "UTC")), (pa.string(), pa.binary())],
    ids=str,
)
def test_types_that_differ(one: pa.DataType, other: pa.DataType) -> None:
    assert type_name(one) != type_name(other)


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        (pa.float16(), "float32"),
        (pa.time32("ms"), "time64('us')"),
        (pa.decimal256(50), "decimal128 of at most 38 digits"),
        (pa.struct([("at", pa.timestamp("ns"))]), "timestamps in microseconds"),
        (pa.timestamp("ns"), None),
        (pa.list_(pa.string()), None),
    ],
    ids=str,
)
def test_what_spark_cannot_read(kind: pa.DataType, instead: str | None) -> None:
    assert readable_instead(kind) == instead


def test_nanoseconds() -> None:
    assert is_nanoseconds(pa.timestamp("ns", "UTC"))
    assert not is_nanoseconds(pa.int64())
