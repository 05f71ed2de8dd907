"""Timestamps of 96 bits in Parquet files, which Spark, Hive and Impala write.

To Spark they are instants in microseconds, whatever Arrow takes them for.
"""

from __future__ import annotations

from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_WRITTEN_BY_SPARK = b"org.apache.spark.version"


def schema_for_spark(stream: IO[bytes]) -> pa.Schema:
    """Return the schema of a Parquet file, with its 96-bit timestamps as instants in microseconds."""
    parquet = pq.ParquetFile(stream, coerce_int96_timestamp_unit="us")
    schema = parquet.schema_arrow
    for name in _columns(parquet):
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.timestamp("us", "UTC")))
    return schema


def finer_than_microseconds(stream: IO[bytes]) -> str | None:
    """Return a column of 96-bit timestamps with digits that Spark would cut off; `None` if there is none.

    The column itself is read, except in Spark's own files: Spark writes no such digits.
    """
    parquet = pq.ParquetFile(stream)
    if _WRITTEN_BY_SPARK in (parquet.metadata.metadata or {}):
        return None
    for name in _columns(parquet):
        for batch in parquet.iter_batches(columns=[name]):
            nanoseconds = batch.column(0).cast(pa.int64())
            whole = pc.multiply(pc.divide(nanoseconds, 1000), 1000)
            if pc.any(pc.not_equal(nanoseconds, whole)).as_py():
                return name
    return None


def _columns(parquet: pq.ParquetFile) -> list[str]:
    columns = [parquet.schema.column(number) for number in range(len(parquet.schema.names))]
    return [column.name for column in columns if column.physical_type == "INT96" and column.path == column.name]
