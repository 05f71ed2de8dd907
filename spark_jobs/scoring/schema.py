"""The columns that labelling adds, as Spark and as Arrow see them."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from pyspark.sql.types import FloatType, StringType, StructField, StructType, TimestampType

OK = "OK"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
SETTLED = (OK, INVALID_ARGUMENT)
"""Statuses that the same model would give again, on any server; any other row is worth another try."""

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
"""What `spark_jobs.scoring.api` appends to a row.

`score` (float32, 0 to 1) and `label` are null unless `status` is `OK`; `error` is null if it is. The model
columns name the model that scored the row, or whose limits refused it.
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
"""What a run adds beside `RESULT_SPARK`; `run_date` is the partition."""

OUTPUT_COLUMNS = (*RESULT_SPARK.names, *RUN_COLUMNS)


class ScoredPair(NamedTuple):
    """One row's answer, for users of RDDs; the fields are those of `RESULT_ARROW` after the pair itself."""

    query: object
    title: object
    score: float | None
    label: str | None
    model_name: str
    model_version: str
    status: str
    error: str | None
    scored_at: object
