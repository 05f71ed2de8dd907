"""The score store through whole runs: only new work, kept over failures, and never a row twice."""

from __future__ import annotations

import json
import os
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
from spark_jobs.label_pairs import main
from spark_jobs.scoring.schema import RESULT_SPARK
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS
from spark_jobs.storage.parquet_scores import ROW
from spark_jobs.storage.run_lock import RunLock
from spark_jobs.storage.score_store import ScoreStore
from spark_jobs.storage.tables import Table
from tests.spark_jobs.conftest import Text, write_pairs
from tests.support.scripted_server import ScriptedServer, score_of

pytestmark = pytest.mark.usefixtures("spark")

REFUSING = {"status": "PERMISSION_DENIED"}


@pytest.fixture
def label(tmp_path: Path) -> Callable[..., int]:
    """Run a night on a server of its own; gives how many pairs the server scored."""

    def run(
        pairs: list[tuple[Text, Text]],
        *flags: str,
        night: str = "01",
        status: int = 0,
        script: list[dict[str, Any]] | None = None,
        **settings: Any,
    ) -> int:
        file = write_pairs(tmp_path / f"night-{night}.parquet", pairs)
        common = ["--input", str(file), "--output", str(tmp_path / "out"), "--run-date", f"2026-11-{night}"]
        with ScriptedServer(script, **settings) as server:
            assert main([*common, "--target", server.address, "--log-format", "json", *flags]) == status
            calls = server.finished_calls()
        return sum(call["rows"] for call in calls if call["method"] == "ScoreBatch")

    return run


def pairs_of(count: int, first: int = 0) -> list[tuple[Text, Text]]:
    return [(f"query {row % 10}", f"title {row}") for row in range(first, first + count)]


def labels(output: Path, night: str = "01") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetDataset(output / "labels" / f"run_date=2026-11-{night}").read().to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def assert_right(rows: list[dict[str, Any]], pairs: list[tuple[Text, Text]]) -> None:
    """Each row once, with the score of its own pair."""
    assert [row["id"] for row in rows] == list(range(len(pairs)))
    for row, (query, title) in zip(rows, pairs, strict=True):
        assert (row["query"], row["title"]) == (query, title)
        assert row["score"] == score_of(str(query), str(title))


def test_night_two_scores_only_the_pairs_that_are_new(label: Callable[..., int], tmp_path: Path) -> None:
    one, two = pairs_of(60), pairs_of(60, first=40)
    assert label(one + one[:5]) == 60
    assert label(two, night="02") == 40
    assert_right(labels(tmp_path / "out", "02"), two)
    assert_right(labels(tmp_path / "out"), one + one[:5])
    assert label(two, night="02") == 0
    assert_right(labels(tmp_path / "out", "02"), two)


def test_another_model_version_scores_again_and_keeps_the_old_scores(label: Callable[..., int], tmp_path: Path) -> None:
    pairs = pairs_of(20)
    assert [label(pairs, version=version) for version in ("1", "2", "1")] == [20, 20, 0]
    assert {row["model_version"] for row in labels(tmp_path / "out")} == {"1"}
    folder = tmp_path / "out" / "scores" / "keys=sha256" / "model_name=scripted"
    assert sorted(path.name for path in folder.iterdir()) == [f"model_version={v}-{'0' * 32}" for v in "12"]


def test_what_the_model_refuses_is_known_too(label: Callable[..., int], tmp_path: Path) -> None:
    pairs: list[tuple[Text, Text]] = [("query", ""), ("query", "title"), (None, "title")]
    assert [label(pairs, "--gate", "labelled_rows=0.3", night=night) for night in ("01", "02")] == [2, 0]
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
    assert label(pairs, night="02") == 2
    assert Counter(row["status"] for row in labels(tmp_path / "out", "02")) == {"OK": 302, "INVALID_ARGUMENT": 1}
    # A third: where most rows fail, the run gives up before a gate judges it.
    long: list[tuple[Text, Text]] = [("query", f"title {row} {'x' * 40 * (row % 3 == 0)}") for row in range(300)]
    label(long, night="03", status=3, **limits)
    assert label(long, night="03") == 100
    assert_right(labels(tmp_path / "out", "03"), long)


def test_a_row_over_the_limit_of_every_server_is_scored_when_that_is_mended(
    label: Callable[..., int], tmp_path: Path
) -> None:
    pairs = [*pairs_of(200), ("query", "t" * 50)]
    assert label(pairs, text_limits=[40]) == 200
    assert [row["error"] for row in labels(tmp_path / "out")][-1] == "title has 50 bytes, the limit is 40"
    assert label(pairs, night="02") == 1
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
    assert label(pairs, night="02") == sum(rows)
    assert_right(labels(tmp_path / "out", "02"), pairs)
    told = capsys.readouterr().out
    for file in (truncated, garbage):
        assert str(file) in told
        assert file.with_name(f"_damaged-{file.name}").exists()
    assert label(pairs, night="03") == 0


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
    assert label(pairs, night="02") == 0
    assert_right(labels(tmp_path / "out", "02"), pairs)


def test_compaction_leaves_one_batch_with_each_pair_once(label: Callable[..., int], tmp_path: Path) -> None:
    first, second = pairs_of(30), pairs_of(30, first=10)
    label(first)
    [batch] = (tmp_path / "out" / "scores").rglob("batch=*")
    shutil.copytree(batch, batch.with_name("batch=again"))
    assert label(second, "--compact", night="02") == 10
    [batch] = (tmp_path / "out" / "scores").rglob("batch=*")
    assert pq.read_table(batch).num_rows == 40
    assert len(list(batch.glob("*.parquet"))) == 1
    assert label(second, night="03") == 0
    assert_right(labels(tmp_path / "out", "03"), second)


@pytest.mark.parametrize("kind", ["tables", "orc"])
def test_tables_and_other_formats(label: Callable[..., int], tmp_path: Path, spark: SparkSession, kind: str) -> None:
    one, two = pairs_of(20), pairs_of(20, first=15)
    flags = {
        "tables": ["--store", "night_scores", "--labels", "night_labels"],
        "orc": ["--format", "orc"],
    }[kind]

    if kind == "tables":
        result = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in RESULT_SPARK)
        spark.sql(
            f"CREATE TABLE night_labels (id bigint, query string, title string, {result}, run_id string, "
            "run_date date) USING parquet PARTITIONED BY (run_date)"
        )
        columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in ROW)
        spark.sql(
            f"CREATE TABLE night_scores ({columns}, model_name string, model_version string) "
            "USING parquet PARTITIONED BY (model_name, model_version)"
        )

    def read(name: str) -> DataFrame:
        return spark.table(f"night_{name}") if kind == "tables" else spark.read.orc(str(tmp_path / "out" / name))

    assert [label(one, *flags), label(two, *flags, night="02"), label(two, *flags, night="02")] == [20, 15, 0]
    assert read("scores").count() == 35
    rows = [row.asDict() for row in read("labels").collect()]
    assert Counter(str(row["run_date"]) for row in rows) == {"2026-11-01": 20, "2026-11-02": 20}
    assert_right(sorted((row for row in rows if str(row["run_date"]) == "2026-11-02"), key=lambda row: row["id"]), two)
    # Nothing waits any more, and what failed in between is not lost.
    assert not list((tmp_path / "out").glob("_*"))
    refused = [{}] * 3 + [REFUSING] * 50
    label(
        pairs_of(80), *flags, "--rows-per-rpc", "5", "--partitions", "8", "--in-flight", "1", script=refused, status=2
    )
    kept = sum(pq.read_table(path).num_rows for path in (tmp_path / "out" / "_scored").rglob("*.parquet"))
    assert label(pairs_of(80), *flags) == 45 - kept
    assert read("scores").count() == 80
    for name in ("scores", "labels"):
        spark.sql(f"DROP TABLE IF EXISTS night_{name}")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--labels", "unheard_of"], "--labels: there is no table unheard_of, and Spark's catalog would forget it"),
        (["--store", "unheard_of"], "--store: there is no table unheard_of, and Spark's catalog would forget it"),
        (
            ["--labels", "whole_labels"],
            "--labels: table whole_labels must be partitioned by run_date alone, not by nothing",
        ),
        (["--labels", "other_labels"], "the columns of table other_labels are others; missing: "),
        (["--store", "other_labels"], "unknown: id, run_date"),
        (["--labels", "lake.shop.labels"], "--labels: Spark has no catalog lake; spark.sql.catalog.lake would name it"),
        (["--format", "delta"], "--format: Spark does not know delta; give spark-submit its package"),
        (
            ["--format", "iceberg"],
            "--store: a folder of format iceberg cannot have one run date replaced; name a table",
        ),
    ],
)
def test_tables_that_could_not_take_the_labels_are_refused_before_the_run(
    label: Callable[..., int],
    tmp_path: Path,
    spark: SparkSession,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    sentence: str,
) -> None:
    result = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in RESULT_SPARK)
    rows = f"id bigint, query string, title string, {result}, run_id string"
    tables = {
        "whole_labels": f"({rows}, run_date date) USING parquet",
        "other_labels": "(id bigint, run_date date) USING parquet PARTITIONED BY (run_date)",
    }
    for name, definition in tables.items():
        spark.sql(f"CREATE TABLE {name} {definition}")
    try:
        label(pairs_of(3), *flags, status=2)
        assert sentence in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "out").exists()
    finally:
        for name in tables:
            spark.sql(f"DROP TABLE {name}")


def test_what_a_held_night_scored_is_there_for_other_dates(label: Callable[..., int], tmp_path: Path) -> None:
    pairs: list[tuple[Text, Text]] = [*pairs_of(20), *((None, f"title {row}") for row in range(200))]
    assert label(pairs, "--format", "orc", "--gate", "rejected_rows=fail:0.01", status=3) == 20
    assert not list((tmp_path / "out").glob("_*"))
    assert label(pairs, "--format", "orc", "--gate", "labelled_rows=0.05", night="02") == 0


def test_labels_elsewhere_are_staged_where_they_go(label: Callable[..., int], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "labels"
    seen: list[str] = []
    rename = HadoopFileSystem.rename

    def watched(storage: HadoopFileSystem, source: str, target: str) -> None:
        seen.append(source)
        rename(storage, source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HadoopFileSystem, "rename", watched)
        for _ in range(2):
            label(pairs_of(5), "--labels", f"{elsewhere}/")
    assert seen
    assert all(source.startswith(str(elsewhere)) for source in seen)
    assert_right(labels(elsewhere.parent), pairs_of(5))
    assert [path.name for path in elsewhere.iterdir()] == ["run_date=2026-11-01"]


@pytest.mark.parametrize("flags", [[], ["--format", "orc"]], ids=["parquet", "orc"])
def test_outputs_that_share_a_folder_of_labels_exclude_each_other(
    label: Callable[..., int],
    tmp_path: Path,
    spark: SparkSession,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    shared = tmp_path / "other output" / "labels"
    folder = shared / "_locks" / "run_date=2026-11-01"
    # The other output's run: it has no flag `--labels`, for the folder is its own.
    with RunLock(HadoopFileSystem(spark), str(folder), "other", f"run_date 2026-11-01 of {shared}"):
        assert label(pairs_of(5), "--labels", str(shared), *flags, status=4) == 0
        assert f"run_date 2026-11-01 of {shared} is being labelled by another run: other" in capsys.readouterr().err
        assert [path.name for path in shared.iterdir()] == ["_locks"]
        assert not (tmp_path / "out").exists()
        assert label(pairs_of(5), "--labels", str(shared), *flags, night="02") == 5
    assert label(pairs_of(5), "--labels", str(shared), *flags) == 0
    assert {path.name for path in shared.iterdir() if path.is_dir()} == {"run_date=2026-11-01", "run_date=2026-11-02"}


def test_a_run_holds_the_locks_of_its_output_and_of_its_labels(
    label: Callable[..., int], tmp_path: Path, spark: SparkSession
) -> None:
    seen: set[str] = set()
    check = RunLock.check

    def watched(lock: RunLock) -> None:
        seen.update(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("_locks/*/*.json"))
        check(lock)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLock, "check", watched)
        label(pairs_of(2))
        label(pairs_of(2), "--labels", str(tmp_path / "elsewhere"))
    day = "_locks/run_date=2026-11-01"
    assert seen == {f"out/{day}", f"out/labels/{day}", f"elsewhere/{day}"}
    assert not list(tmp_path.rglob("_locks"))


def test_a_lease_that_names_another_folder_deletes_nothing(label: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    for folder in ("out", "out/labels"):
        lease = tmp_path / folder / "_locks" / "run_date=2026-11-01" / "dead.json"
        lease.parent.mkdir(parents=True)
        lease.write_text(json.dumps({"dead": ["../../../victim", "../../victim", str(tmp_path / "victim")]}))
        os.utime(lease, (0, 0))
    assert label(pairs_of(3)) == 3
    assert (tmp_path / "victim").is_dir()
    assert not list(tmp_path.rglob("_locks"))


def test_the_input_may_be_a_table(label: Callable[..., int], tmp_path: Path, spark: SparkSession) -> None:
    spark.createDataFrame([(0, "kettle", "red kettle")], "id int, query string, title string").createOrReplaceTempView(
        "asked_pairs"
    )
    with ScriptedServer() as server:
        flags = ["--output", str(tmp_path / "out"), "--run-date", "2026-11-01", "--target", server.address]
        assert main(["--input", "asked_pairs", *flags]) == 0
    assert_right(labels(tmp_path / "out"), [("kettle", "red kettle")])


@pytest.fixture
def info(scripted: ScriptedServer) -> ModelInfo:
    with RelevanceClient(ClientConfig(scripted.address)) as client:
        return client.model()


def test_what_failed_for_a_moment_is_published_and_tried_again(
    spark: SparkSession, tmp_path: Path, info: ModelInfo
) -> None:
    frame = spark.read.parquet(str(write_pairs(tmp_path / "a.parquet", pairs_of(3))))
    night = InputRows(frame, "query", "title", info)
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
    first.append(answered(night.new_pairs(None, 1), status))
    assert night.labelled(first.scores(), "first").count() == 3
    second = store("second")
    known = second.known()
    assert known is not None
    new = night.new_pairs(known, 1)
    assert [row.title for row in new.collect()] == ["title 0"]
    second.append(answered(new, F.lit("OK")))
    for unique in (False, True):
        rows = night.labelled(second.scores(unique=unique), "second").collect()
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
    assert label([real], night="02") == 1
    assert_right(labels(tmp_path / "out", "02"), [real])
    assert label([forged, real, forged], night="03") == 0
    assert_right(labels(tmp_path / "out", "03"), [forged, real, forged])


def test_a_store_under_keys_of_an_older_version_is_told_and_scored_anew(
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
    [told] = [line for line in capsys.readouterr().out.splitlines() if "older version" in line]
    assert json.loads(told)["folder"] == str(folder)
    assert label(pairs, "--compact", night="02") == 0
    assert spark.read.parquet(str(folder / "model_name=scripted")).count() == 20
    # A table takes one type of key.
    old.withColumns({"model_name": F.lit("scripted"), "model_version": F.lit("1")}).write.saveAsTable("old_scores")
    try:
        assert label(pairs, "--store", "old_scores", night="03", status=2) == 0
        assert "the keys pair_key bigint, title_key bigint, expected pair_key binary" in capsys.readouterr().err
    finally:
        spark.sql("DROP TABLE old_scores")
