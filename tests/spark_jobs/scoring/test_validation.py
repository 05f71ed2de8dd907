"""The same rows get the same row errors in Spark SQL and over Arrow columns."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.scoring.validation import row_error_column, row_errors
from tests.spark_jobs.conftest import text_column, write_pairs

TEXTS: list[str | bytes | None] = [
    None,
    "",
    "x",
    "x" * 20,
    "x" * 21,
    "é" * 10,
    "é" * 11,
    "🎧" * 5,
    "🎧" * 6,
    "\x00",
    "\ud800",
    "a\udfffb",
    b"\xff\xfe",
    b"\xc0\xaf",
    b"ok\xe2\x82",
    "\u202e abc",
    "\ufffd",
]


def test_spark_and_arrow_give_the_same_row_errors(spark: SparkSession, tmp_path: Path) -> None:
    pairs = [(query, title) for query in TEXTS for title in TEXTS]
    file = write_pairs(tmp_path / "pairs.parquet", pairs)
    frame = spark.read.parquet(str(file))
    row_error = row_error_column(F.col("query"), F.col("title"), max_text_bytes=20)
    by_spark = {row.id: row.why for row in frame.select("id", row_error.alias("why")).collect() if row.why is not None}
    columns = (text_column([text for text, _ in pairs]), text_column([text for _, text in pairs]))
    assert by_spark == row_errors(*columns, max_text_bytes=20)
    assert by_spark[0] == "query is null; title is null"
    assert by_spark[pairs.index(("x", "x" * 21))] == "title has 21 bytes, the limit is 20"
    assert by_spark[pairs.index(("x", b"\xff\xfe"))] == "title is not valid UTF-8"
    bad = {None, "x" * 21, "é" * 11, "🎧" * 6, "\ud800", "a\udfffb", b"\xff\xfe", b"\xc0\xaf", b"ok\xe2\x82"}
    assert {pairs[row] for row in by_spark} == {pair for pair in pairs if set(pair) & bad}
