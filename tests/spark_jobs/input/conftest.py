"""Files written for a test, and read as the input of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from spark_jobs.input.reader import read_input
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.filesystem import HadoopFileSystem

Content = bytes | str | Any
Read = Callable[..., list[tuple[Any, ...]]]
PLAIN = "query,title\nred shoes,Red sneakers\nusb,USB cable\n"
PLAIN_ROWS = [("red shoes", "Red sneakers"), ("usb", "USB cable")]
PAIR = {"query": ["usb"], "title": ["USB cable"]}
PARQUET = pa.table(PAIR)
JSON = '{"query":"usb","title":"USB cable"}\n'


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


@pytest.fixture
def read(spark: SparkSession, tmp_path: Path) -> Read:
    """Write files and read them as the input of a run; return the rows, sorted, with the columns asked for."""

    def read_files(
        files: dict[str, Content], *columns: str, path: str = "in", more: Sequence[str] = (), **settings: Any
    ) -> list[tuple[Any, ...]]:
        for name, content in files.items():
            place = tmp_path / "in" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            data = parquet(content) if isinstance(content, pa.Table) else content
            place.write_bytes(data.encode() if isinstance(data, str) else data)
        given = LabelSettings(input=[str(tmp_path / path), *more], output="unused", **settings)
        found = read_input(spark, HadoopFileSystem(spark), given.input_options())
        rows = found.count()
        found.locate()  # the driver's look at all lines agrees with Spark's
        result = [tuple(row) for row in found.frame.select(*(columns or ("query", "title"))).collect()]
        assert len(result) == rows
        return sorted(result, key=str)

    return read_files
