"""Counts and sample rows, from rows in Spark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.quality.summary import BINS, RowError, SampleRow, Summary, samples, summarise
from tests.spark_jobs.conftest import Text, text_column

Labelled = tuple[Text, Text, float | None, str | None, str, str | None]


def labelled(spark: SparkSession, folder: Path, rows: list[Labelled]) -> DataFrame:
    """Write rows as a run does, texts that are not UTF-8 among them, and read them back."""
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "q.uery": text_column(columns[0]),
            "title": text_column(columns[1]),
            "score": pa.array(columns[2], pa.float32()),
            **{
                name: pa.array(columns[3 + place], pa.string())
                for place, name in enumerate(("label", "status", "error"))
            },
        }
    )
    pq.write_table(table, folder / "labelled.parquet")
    return spark.read.parquet(str(folder / "labelled.parquet"))


def looked_at(frame: DataFrame) -> tuple[Summary, dict[str, list[SampleRow]]]:
    summary = summarise(frame, "q.uery", "title")
    return summary, samples(frame, "q.uery", "title", summary)


def test_rows_are_counted_by_label_reason_and_score(spark: SparkSession, tmp_path: Path) -> None:
    rows: list[Labelled] = [
        ("kettle", "red kettle", 0.0, "no", "OK", None),
        ("kettle", "red kettle", 0.049, "no", "OK", None),
        ("kettle", "blue kettle", 0.05, "no", "OK", None),
        ("kettle", "kettle", 0.951, "yes", "OK", None),
        ("kettle", "the kettle", 1.0, "yes", "OK", None),
        (None, "kettle", None, None, "INVALID_ARGUMENT", "query is null"),
        (None, "pan", None, None, "INVALID_ARGUMENT", "query is null"),
        ("x" * 900, "pan", None, None, "INVALID_ARGUMENT", "query has 900 bytes, the limit is 800"),
        ("x" * 950, "pan", None, None, "INVALID_ARGUMENT", "query has 950 bytes, the limit is 800"),
        (b"\xff\xfe", "pan", None, None, "INVALID_ARGUMENT", "query is not valid UTF-8"),
        ("kettle", "poison", None, None, "INTERNAL", None),
    ]
    summary, shown = looked_at(labelled(spark, tmp_path, rows))
    assert summary.labels == {"no": 3, "yes": 2}
    assert list(summary.labels) == ["no", "yes"]
    assert summary.row_errors == {
        RowError("INVALID_ARGUMENT", "query is null"): 2,
        RowError("INVALID_ARGUMENT", "query has too many bytes, the limit is 800"): 2,
        RowError("INVALID_ARGUMENT", "query is not valid UTF-8"): 1,
        RowError("INTERNAL", "no reason given"): 1,
    }
    assert (summary.rows, summary.labelled, summary.rejected, summary.failed) == (11, 5, 5, 1)
    assert (len(summary.histogram), summary.histogram[0], summary.histogram[1], summary.histogram[-1]) == (
        BINS,
        2,
        1,
        2,
    )
    assert set(shown) == {"no", "yes", *map(str, summary.row_errors)}
    assert [row.title for row in shown["yes"]] == ["kettle", "the kettle"]
    assert shown["INTERNAL: no reason given"] == [SampleRow("kettle", "poison", None, None)]
    assert {row.query for row in shown["INVALID_ARGUMENT: query is null"]} == {None}
    [too_long] = {len(row.query or "") for row in shown["INVALID_ARGUMENT: query has too many bytes, the limit is 800"]}
    assert too_long == 300
    [broken] = shown["INVALID_ARGUMENT: query is not valid UTF-8"]
    assert broken.query is not None
    assert "\ufffd" in broken.query


@pytest.mark.parametrize("copies", [1, 500])
def test_samples_stay_few_and_span_the_scores(spark: SparkSession, tmp_path: Path, copies: int) -> None:
    rows: list[Labelled] = []
    for number in range(100):
        label = "yes" if number >= 50 else "no"
        rows += [(f"q{number}", f"t{number}", number / 100, label, "OK", None)] * (5 if copies == 1 else 1)
    rows += [(None, None, None, None, "INVALID_ARGUMENT", "query is null; title is null")] * copies
    summary, shown = looked_at(labelled(spark, tmp_path, rows))
    assert len(summary.picks) <= 4 * 6 + 2
    for label, least, most in (("no", 0.0, 0.5), ("yes", 0.5, 1.0)):
        scores = [row.score or 0.0 for row in shown[label]]
        assert len(scores) == len(set(scores)) == 6
        assert least <= min(scores) < least + 0.1
        assert most - 0.1 < max(scores) <= most
        assert scores == sorted(scores)
    assert shown["INVALID_ARGUMENT: query is null; title is null"] == [SampleRow(None, None, None, None)]
    assert sum(summary.row_errors.values()) == copies


def test_rows_that_were_made_to_look_like_one_are_one_sample(spark: SparkSession, tmp_path: Path) -> None:
    # Spark's xxhash64 takes these two queries with the same title for the same pair.
    rows: list[Labelled] = [
        (query, "kettle", 0.5, "yes", "OK", None) for query in ("red kettle 1.7 l", "sp18knzuK>GZBPM^")
    ]
    summary, shown = looked_at(labelled(spark, tmp_path, rows))
    assert len(summary.picks) == 1
    assert [row.query for row in shown["yes"]] == ["red kettle 1.7 l"]


def test_reasons_beyond_the_fiftieth_are_one(spark: SparkSession, tmp_path: Path) -> None:
    reasons = [f"reason {number}" for number in range(60) for _ in range(60 - number)]
    rows: list[Labelled] = [("q", "t", None, None, "INTERNAL", reason) for reason in reasons]
    summary, _ = looked_at(labelled(spark, tmp_path, rows))
    assert len(summary.row_errors) == 51
    assert summary.row_errors[RowError("INTERNAL", "other reasons")] == sum(range(1, 11))
    assert summary.failed == len(rows)
    assert summary.labels == {}
