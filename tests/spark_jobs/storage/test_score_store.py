"""The score store through whole runs: only new work, kept over failures, and never a row twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from grpc_client import ClientConfig, ModelInfo, RelevanceClient
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS
from spark_jobs.storage.score_store import ScoreStore
from spark_jobs.storage.tables import Table
from tests.spark_jobs.conftest import REFUSING, Text, assert_right, labels, pairs_of, write_pairs
from tests.support.scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("spark")


def test_a_second_run_scores_only_the_pairs_that_are_new(label: Callable[..., int], tmp_path: Path) -> None:
    one, two = pairs_of(60), pairs_of(60, first=40)
    assert label(one + one[:5]) == 60
    assert label(two, day="02") == 40
    assert_right(labels(tmp_path / "out", "02"), two)
    assert_right(labels(tmp_path / "out"), one + one[:5])
    assert label(two, day="02") == 0
    assert_right(labels(tmp_path / "out", "02"), two)


def test_another_model_version_scores_again_and_keeps_the_old_scores(label: Callable[..., int], tmp_path: Path) -> None:
    pairs = pairs_of(20)
    assert [label(pairs, version=version) for version in ("1", "2", "1")] == [20, 20, 0]
    assert {row["model_version"] for row in labels(tmp_path / "out")} == {"1"}
    folder = tmp_path / "out" / "scores" / "keys=sha256" / "model_name=scripted"
    assert sorted(path.name for path in folder.iterdir()) == [f"model_version={v}-{'0' * 32}" for v in "12"]


def test_what_the_model_refuses_is_known_too(label: Callable[..., int], tmp_path: Path) -> None:
    pairs: list[tuple[Text, Text]] = [("query", ""), ("query", "title"), (None, "title")]
    assert [label(pairs, "--gate", "labelled_rows=0.3", day=day) for day in ("01", "02")] == [2, 0]
    assert [row["error"] for row in labels(tmp_path / "out", "02")] == ["title is empty", None, "query is null"]


def test_a_row_over_the_limit_of_one_server_is_scored_when_that_is_mended(
    label: Callable[..., int], tmp_path: Path
) -> None:
    pairs = [*pairs_of(300), ("query", ""), ("query", "t" * 50), ("query", "é" * 21)]
    # The driver met one replica, and the tasks another one, which takes less.
    limits = {"text_limits": [8192, 40]}
    flags = ["--gate", "failed_rows=0.5"]
    assert label(pairs, *flags, **limits) == len(pairs)
    rows = labels(tmp_path / "out")
    assert Counter(row["status"] for row in rows) == {"OK": 300, "INVALID_ARGUMENT": 1, "FAILED": 2}
    reason = "this server takes texts of 40 bytes, others of the same target 8192"
    assert {row["error"] for row in rows if row["status"] == "FAILED"} == {reason}
    assert label(pairs, day="02") == 2
    assert Counter(row["status"] for row in labels(tmp_path / "out", "02")) == {"OK": 302, "INVALID_ARGUMENT": 1}
    # A third: where most rows fail, the run gives up before a gate judges it.
    long: list[tuple[Text, Text]] = [("query", f"title {row} {'x' * 40 * (row % 3 == 0)}") for row in range(300)]
    label(long, day="03", status=3, **limits)
    assert label(long, day="03") == 100
    assert_right(labels(tmp_path / "out", "03"), long)


def test_a_row_over_the_limit_of_every_server_is_scored_when_that_is_mended(
    label: Callable[..., int], tmp_path: Path
) -> None:
    pairs = [*pairs_of(200), ("query", "t" * 50)]
    assert label(pairs, text_limits=[40]) == 200
    assert [row["error"] for row in labels(tmp_path / "out")][-1] == "title has 50 bytes, the limit is 40"
    assert label(pairs, day="02") == 1
    assert_right(labels(tmp_path / "out", "02"), pairs)


def test_damaged_files_of_the_store_are_set_aside_and_their_pairs_scored_again(
    label: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = pairs_of(60)
    assert label(pairs, "--partitions", "4") == 60
    files = sorted((tmp_path / "out" / "scores").rglob("part-*.parquet"), key=lambda file: -file.stat().st_size)
    truncated, garbage, emptied = files[:3]
    rows = [pq.read_metadata(file).num_rows for file in files[:3]]
    truncated.write_bytes(truncated.read_bytes()[: truncated.stat().st_size // 2])
    garbage.with_name(f".{garbage.name}.crc").unlink()
    garbage.write_text("no Parquet at all")
    emptied.write_bytes(b"")
    capsys.readouterr()
    assert label(pairs, day="02") == sum(rows)
    assert_right(labels(tmp_path / "out", "02"), pairs)
    log = capsys.readouterr().out
    for file in (truncated, garbage):
        assert str(file) in log
        assert file.with_name(f"_damaged-{file.name}").exists()
    assert label(pairs, day="03") == 0


def test_a_failed_run_keeps_what_its_tasks_committed(label: Callable[..., int], tmp_path: Path) -> None:
    pairs = pairs_of(400)
    flags = ["--rows-per-rpc", "5", "--partitions", "10", "--in-flight", "1"]
    label(pairs, *flags, script=[{}] * 45 + [REFUSING] * 100, status=2)
    assert not (tmp_path / "out" / "labels").exists()
    assert not list((tmp_path / "out").rglob("_temporary"))
    kept = pq.read_table(tmp_path / "out" / "scores").num_rows
    assert 0 < kept < 400
    assert label(pairs, *flags) == 400 - kept
    assert_right(labels(tmp_path / "out"), pairs)


def test_a_pair_that_is_in_the_store_twice_does_not_become_two_rows(label: Callable[..., int], tmp_path: Path) -> None:
    pairs = pairs_of(30)
    label(pairs)
    [batch] = (tmp_path / "out" / "scores").rglob("batch=*")
    shutil.copytree(batch, batch.with_name("batch=again"))
    assert label(pairs, day="02") == 0
    assert_right(labels(tmp_path / "out", "02"), pairs)


def test_compaction_leaves_one_batch_with_each_pair_once(label: Callable[..., int], tmp_path: Path) -> None:
    first, second = pairs_of(30), pairs_of(30, first=10)
    label(first)
    [batch] = (tmp_path / "out" / "scores").rglob("batch=*")
    shutil.copytree(batch, batch.with_name("batch=again"))
    assert label(second, "--compact", day="02") == 10
    [batch] = (tmp_path / "out" / "scores").rglob("batch=*")
    assert pq.read_table(batch).num_rows == 40
    assert len(list(batch.glob("*.parquet"))) == 1
    assert label(second, day="03") == 0
    assert_right(labels(tmp_path / "out", "03"), second)


@pytest.fixture
def info(scripted: ScriptedServer) -> ModelInfo:
    with RelevanceClient(ClientConfig(scripted.address)) as client:
        return client.model()


def test_what_failed_for_a_moment_is_published_and_tried_again(
    spark: SparkSession, tmp_path: Path, info: ModelInfo
) -> None:
    frame = spark.read.parquet(str(write_pairs(tmp_path / "a.parquet", pairs_of(3))))
    rows_in = InputRows(frame, "query", "title", info)
    failed = {"title 0": "INTERNAL", "title 1": "OK", "title 2": "INVALID_ARGUMENT"}
    status = F.create_map(*(F.lit(text) for item in failed.items() for text in item))[F.col("title")]

    def answered(pairs: DataFrame, status: Any) -> DataFrame:
        results = {"score": F.lit(0.5).cast("float"), "label": F.lit("relevant"), "status": status}
        results |= {"error": F.lit(None).cast("string"), "scored_at": F.current_timestamp()}
        return pairs.withColumns(results)

    def store(run_id: str) -> ScoreStore:
        return ScoreStore(
            spark,
            HadoopFileSystem(spark),
            Table(str(tmp_path / "scores")),
            pending_dir=str(tmp_path / "pending"),
            info=info,
            run_id=run_id,
        )

    first = store("first")
    assert first.known() is None
    first.append(answered(rows_in.new_pairs(None, 1), status))
    assert rows_in.labelled(first.scores(), "first").count() == 3
    second = store("second")
    known = second.known()
    assert known is not None
    new = rows_in.new_pairs(known, 1)
    assert [row.title for row in new.collect()] == ["title 0"]
    second.append(answered(new, F.lit("OK")))
    for unique in (False, True):
        rows = rows_in.labelled(second.scores(unique=unique), "second").collect()
        assert sorted((row.title, row.status) for row in rows) == sorted((failed | {"title 0": "OK"}).items())


def test_a_model_with_an_unusual_name_has_a_folder(spark: SparkSession, tmp_path: Path, info: ModelInfo) -> None:
    strange = ModelInfo(type(info.ref)("a/b=c: d", "1%2"), "", info.labels, info.threshold, info.limits)
    rows = spark.createDataFrame([(1, b"2", "q", "t")], "title_key long, pair_key binary, query string, title string")
    rows = rows.withColumns(
        {"score": F.lit(0.5), "label": F.lit("x"), "status": F.lit("OK"), "error": F.lit(None).cast("string")}
        | {"scored_at": F.current_timestamp()}
    )
    for model, known in ((strange, 1), (info, None)):
        store = ScoreStore(
            spark,
            HadoopFileSystem(spark),
            Table(str(tmp_path / "scores")),
            pending_dir="unused",
            info=model,
            run_id="id",
        )
        if model is strange:
            store.append(rows.withColumn("score", F.col("score").cast("float")))
        keys = store.known()
        assert (None if keys is None else keys.count()) == known
    read = spark.read.parquet(str(tmp_path / "scores"))
    assert [(row.model_name, row.model_version) for row in read.select("model_name", "model_version").collect()] == [
        ("a/b=c: d", "1%2")
    ]
    assert set(KEYS) < set(read.columns)
    assert pa.types.is_int64(pq.read_schema(next((tmp_path / "scores").rglob("*.parquet"))).field(KEYS[0]).type)


# Another query for the same title that Spark's xxhash64 of query and title (seed 42) takes for the same pair.
TWINS = ("sp18knzuK>GZBPM^", "kettle"), ("red kettle 1.7 l", "kettle")


def test_a_pair_that_was_made_to_look_like_another_gets_its_own_score(
    label: Callable[..., int], tmp_path: Path, spark: SparkSession
) -> None:
    forged, real = TWINS
    frame = spark.createDataFrame([forged, real], "query string, title string")
    assert frame.select(F.xxhash64("query", "title")).distinct().count() == 1
    assert label([forged]) == 1
    assert label([real], day="02") == 1
    assert_right(labels(tmp_path / "out", "02"), [real])
    assert label([forged, real, forged], day="03") == 0
    assert_right(labels(tmp_path / "out", "03"), [forged, real, forged])


def test_a_store_under_keys_of_an_older_version_is_logged_and_scored_again(
    label: Callable[..., int], tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = pairs_of(20)
    texts = spark.createDataFrame(pairs, "query string, title string")
    old = texts.select(
        F.xxhash64("title").alias("title_key"),
        F.xxhash64("query", "title").alias("pair_key"),
        F.lit(0.25).cast("float").alias("score"),
        F.lit("relevant").alias("label"),
        F.lit("OK").alias("status"),
        F.lit(None).cast("string").alias("error"),
        F.current_timestamp().alias("scored_at"),
        F.lit("old").alias("run_id"),
    )
    folder = tmp_path / "out" / "scores"
    old.write.parquet(str(folder / "model_name=scripted" / "model_version=1-000000000000" / "batch=old"))
    assert label(pairs) == 20
    assert_right(labels(tmp_path / "out"), pairs)
    [line] = [event for event in capsys.readouterr().out.splitlines() if "older version" in event]
    assert json.loads(line)["folder"] == str(folder)
    assert label(pairs, "--compact", day="02") == 0
    assert spark.read.parquet(str(folder / "model_name=scripted")).count() == 20
    # A table takes one type of key.
    old.withColumns({"model_name": F.lit("scripted"), "model_version": F.lit("1")}).write.saveAsTable("old_scores")
    try:
        assert label(pairs, "--store", "old_scores", day="03", status=2) == 0
        assert "the keys pair_key bigint, title_key bigint, expected pair_key binary" in capsys.readouterr().err
    finally:
        spark.sql("DROP TABLE old_scores")
