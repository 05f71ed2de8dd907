"""The columns that labelling adds, as Spark and as Arrow see them."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from pyspark.sql.types import FloatType, StringType, StructField, StructType, TimestampType

OK = "OK"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
SETTLED = (OK, INVALID_ARGUMENT)
"""Statuses that the same model returns again, on any server. Rows with any other status are scored again."""

RESULT_ARROW = pa.schema(
    [
        ("score", pa.float32()),
        ("label", pa.string()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The columns that `spark_jobs.scoring.api` appends.

`score` (float32, 0 to 1) and `label` are null unless `status` is `OK`; `error`, the row error, is null if it is. The
model columns name the model that scored the row, or whose limits the row exceeds.
"""

RESULT_SPARK = StructType(
    [
        StructField("score", FloatType()),
        StructField("label", StringType()),
        StructField("model_name", StringType()),
        StructField("model_version", StringType()),
        StructField("status", StringType()),
        StructField("error", StringType()),
        StructField("scored_at", TimestampType()),
    ]
)

RUN_COLUMNS = ("run_id", "run_date")
"""The columns that a run adds to `RESULT_SPARK`; `run_date` is the partition."""

OUTPUT_COLUMNS = (*RESULT_SPARK.names, *RUN_COLUMNS)


class ScoredPair(NamedTuple):
    """A scored row of an RDD: the pair, then the fields of `RESULT_ARROW`."""

    query: object
    title: object
    score: float | None
    label: str | None
    model_name: str
    model_version: str
    status: str
    error: str | None
    scored_at: object
