"""Input rows become distinct pairs, and labelled rows with the score of their pair or a row error."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from grpc_client import ClientConfig, RelevanceClient
from spark_jobs.columns import column
from spark_jobs.lifecycle.error_translation import to_job_error
from spark_jobs.scoring.api import score_pairs
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS, key_columns
from tests.spark_jobs.conftest import write_pairs
from tests.support.server_process import ServerProcess


def test_a_row_whose_pair_was_not_scored_is_never_published(
    spark: SparkSession, tmp_path: Path, server: ServerProcess
) -> None:
    config = ClientConfig(server.address)
    with RelevanceClient(config) as client:
        info = client.model()
    before = spark.read.parquet(str(write_pairs(tmp_path / "a.parquet", [("a", "b")])))
    after = spark.read.parquet(str(write_pairs(tmp_path / "b.parquet", [("a", "b"), ("c", "d")])))
    rows_in = InputRows(before, "query", "title", info)
    score_pairs(rows_in.new_pairs(None, 2), config).write.parquet(str(tmp_path / "scored"))
    scored = spark.read.parquet(str(tmp_path / "scored"))
    assert rows_in.labelled(scored, "id").count() == 1
    with pytest.raises(Exception, match="USER_RAISED_EXCEPTION") as caught:
        InputRows(after, "query", "title", info).labelled(scored, "id").collect()
    assert "the input changed during the run" in str(to_job_error(caught.value, []))


def test_a_row_with_an_error_is_never_joined_to_a_pair(
    spark: SparkSession, tmp_path: Path, server: ServerProcess
) -> None:
    with RelevanceClient(ClientConfig(server.address)) as client:
        info = client.model()
    frame = spark.read.parquet(str(write_pairs(tmp_path / "a.parquet", [(None, None), ("a", "b"), ("a", None)])))
    rows_in = InputRows(frame, "query", "title", info)
    # Scores under the very keys that rows with an error would have.
    query, title = column(frame, "query"), column(frame, "title")
    scores = frame.select(
        *(key.alias(name) for name, key in key_columns(query, title).items()),
        *(F.lit(value).alias(name) for name, value in {"score": 0.5, "label": "x", "status": "OK"}.items()),
        F.lit(None).cast("string").alias("error"),
        F.current_timestamp().alias("scored_at"),
    )
    labelled = sorted(rows_in.labelled(scores, "id").collect(), key=lambda row: row["id"])
    assert [(row["label"], row["error"]) for row in labelled] == [
        (None, "query is null; title is null"),
        ("x", None),
        (None, "title is null"),
    ]


def test_small_inputs_are_not_merged_into_one_task(spark: SparkSession, tmp_path: Path, server: ServerProcess) -> None:
    pairs = [(f"q{row}", f"t{row}") for row in range(100)]
    frame = spark.read.parquet(str(write_pairs(tmp_path / "a.parquet", pairs)))
    config = ClientConfig(server.address)
    with RelevanceClient(config) as client:
        rows_in = InputRows(frame, "query", "title", client.model())
    known = rows_in.pairs().select(*KEYS).limit(10)
    for new, rows in ((rows_in.new_pairs(None, 5), 100), (rows_in.new_pairs(known, 5), 90)):
        scored = score_pairs(new, config)
        assert scored.rdd.getNumPartitions() == 5
        assert scored.count() == rows
