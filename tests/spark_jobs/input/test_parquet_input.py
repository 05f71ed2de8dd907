"""Parquet files: columns are carried through and united by name, or refused; the sentence names file and column."""

from __future__ import annotations

import gzip
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.errors import InputError
from tests.spark_jobs.input.conftest import PAIR, PARQUET, Content, Read, parquet

INT96 = {"use_deprecated_int96_timestamps": True}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.parquet": PARQUET, "b.parquet": b""}, "b.parquet: it is empty, and a Parquet file never is"),
        ({"a.parquet": parquet(PARQUET)[:-9]}, "a.parquet: it is a Parquet file whose end is missing"),
        ({"a.parquet": b"PARE" + bytes(20) + b"PARE"}, "a.parquet: it is encrypted"),
        ({"a.parquet": parquet(PARQUET, compression="brotli")}, "a.parquet: its columns are compressed with BROTLI"),
        ({"a.parquet": pa.table({**PAIR, "f": pa.array([1.0], pa.float16())})}, "column 'f' of .*float32"),
        ({"a.parquet": pa.table({**PAIR, "t": pa.array([1], pa.time32("ms"))})}, "column 't' of .*time64"),
        (
            {"a.parquet": pa.table({**PAIR, "n": pa.array([1001], pa.timestamp("ns"))})},
            "column 'n' of .*a.parquet .*finer",
        ),
        (
            {"a.parquet": parquet(pa.table({**PAIR, "n": pa.array([1001], pa.timestamp("ns"))}), **INT96)},
            "column 'n' of .*a.parquet .*finer",
        ),
        (
            {"a.parquet": pa.table({**PAIR, "s": [{"x": 1, "X": 2}]})},
            "column 's' of .*a.parquet has the field 'x' twice",
        ),
        ({"a.parquet": gzip.compress(parquet(PARQUET), mtime=0)}, "a.parquet: it is a file compressed with gzip"),
        ({"a.parquet": pa.table({**PAIR, "l": pa.array([[1]], pa.list_(pa.timestamp("ns")))})}, "column 'l' of"),
        ({"a.parquet": pa.table({"query": ["a"], "title": [b"b"]})}, "column 'title' is binary, expected string"),
        ({"a.parquet": pa.table({**PAIR, "Query": ["b"]})}, "a.parquet has the columns 'query' and 'Query'"),
        ({"a.parquet": pa.table([["a"], ["b"], ["c"]], ["query", "title", "title"])}, "has the column 'title' twice"),
        (
            {"a.parquet": PARQUET, "b.parquet": pa.table({"query": ["a"], "name": ["b"]})},
            "b.parquet has no column 'title'",
        ),
        (
            {"a.parquet": PARQUET, "b.parquet": pa.table({"query": ["a"], "Title": ["b"]})},
            "'Title' of .*b.parquet is 'title'",
        ),
        (
            {"a.parquet": pa.table({**PAIR, "n": ["1"]}), "b.parquet": pa.table({**PAIR, "n": [1]})},
            "column 'n' of .*b.parquet is int64, but in .*a.parquet it is string",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_a_sentence(read: Read, files: dict[str, Content], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(files)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("us", pa.array([1], pa.timestamp("us")), datetime(1970, 1, 1, 0, 0, 0, 1)),
        ("ns", pa.array([1_793_494_923_000_001_000], pa.timestamp("ns")), "2026-11-01 01:02:03.000001"),
        ("ns_utc", pa.array([-1_000], pa.timestamp("ns", "UTC")), "1969-12-31 23:59:59.999999"),
        ("time", pa.array([time(1, 2, 3)], pa.time64("us")), time(1, 2, 3)),
        ("uint64", pa.array([2**64 - 1], pa.uint64()), Decimal(2**64 - 1)),
        ("large", pa.array(["x"], pa.large_string()), "x"),
        ("view", pa.array(["x"], pa.string_view()), "x"),
        ("dictionary", pa.array(["x"]).dictionary_encode(), "x"),
        ("decimal", pa.array([Decimal("1.50")], pa.decimal128(38, 2)), Decimal("1.50")),
        ("binary", pa.array([b"\xff"], pa.binary()), bytearray(b"\xff")),
        ("nested", pa.array([{"a": [1]}]), ([1],)),
        ("_corrupt_record", pa.array(["x"]), "x"),
        ("__qtr_refusal_0", pa.array(["x"]), "x"),
    ],
)
def test_columns_of_any_type_are_carried_through(read: Read, name: str, column: pa.Array, value: Any) -> None:
    asked = f"string({name})" if isinstance(value, str) else name
    ((found,),) = read({"a.parquet": pa.table({**PAIR, name: column})}, F.expr(asked))
    assert found == value


def test_timestamps_as_spark_itself_writes_them(read: Read) -> None:
    table = pa.table({**PAIR, "at": pa.array([1_793_494_923_000_001_000], pa.timestamp("ns"))})
    parts = {
        "a.parquet": parquet(table, **INT96),
        "b.parquet": table.set_column(2, "at", table["at"].cast(pa.timestamp("us", "UTC"))),
    }
    assert read(parts, F.expr("string(at)")) == [("2026-11-01 01:02:03.000001",)] * 2


def test_parquet_parts_are_united_by_name(read: Read) -> None:
    parts = {
        "a.parquet": pa.table({"query": ["a"], "title": ["b"], "n": [1], "s": ["x"]}),
        "b.parquet": pa.table({"title": ["d"], "query": ["c"], "n": [2], "s": pa.nulls(1)}),
        "c.parquet": pa.table({"query": ["e"], "title": pa.array(["f"]).dictionary_encode(), "s": ["y"], "n": [3]}),
        "d.parquet": pa.table({"query": ["g"], "title": ["h"]}),
        "more/e.parquet": pa.table({"query": ["i"], "title": ["j"]}),
        "_SUCCESS": b"",
        ".x.parquet.crc": b"crc",
    }
    assert read(parts, "query", "title", "n", "s") == [
        ("a", "b", 1, "x"),
        ("c", "d", 2, None),
        ("e", "f", 3, "y"),
        ("g", "h", None, None),
        ("i", "j", None, None),
    ]
