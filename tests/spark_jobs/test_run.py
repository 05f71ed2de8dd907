"""Whole runs on tables, other formats and shared folders: what they lock, publish and refuse."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.label_pairs import main
from spark_jobs.scoring.schema import RESULT_SPARK
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.parquet_scores import ROW
from spark_jobs.storage.run_lock import RunLock
from tests.spark_jobs.conftest import REFUSING, Text, assert_right, labels, pairs_of
from tests.support.scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("spark")


@pytest.mark.parametrize("kind", ["tables", "orc"])
def test_tables_and_other_formats(label: Callable[..., int], tmp_path: Path, spark: SparkSession, kind: str) -> None:
    one, two = pairs_of(20), pairs_of(20, first=15)
    flags = {
        "tables": ["--store", "stored_scores", "--labels", "stored_labels"],
        "orc": ["--format", "orc"],
    }[kind]

    if kind == "tables":
        result = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in RESULT_SPARK)
        spark.sql(
            f"CREATE TABLE stored_labels (id bigint, query string, title string, {result}, run_id string, "
            "run_date date) USING parquet PARTITIONED BY (run_date)"
        )
        columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in ROW)
        spark.sql(
            f"CREATE TABLE stored_scores ({columns}, model_name string, model_version string) "
            "USING parquet PARTITIONED BY (model_name, model_version)"
        )

    def read(name: str) -> DataFrame:
        return spark.table(f"stored_{name}") if kind == "tables" else spark.read.orc(str(tmp_path / "out" / name))

    assert [label(one, *flags), label(two, *flags, day="02"), label(two, *flags, day="02")] == [20, 15, 0]
    assert read("scores").count() == 35
    rows = [row.asDict() for row in read("labels").collect()]
    assert Counter(str(row["run_date"]) for row in rows) == {"2026-11-01": 20, "2026-11-02": 20}
    assert_right(sorted((row for row in rows if str(row["run_date"]) == "2026-11-02"), key=lambda row: row["id"]), two)
    # Nothing waits any more, and what failed in between is not lost.
    assert not list((tmp_path / "out").glob("_*"))
    refused: list[dict[str, Any]] = [{}] * 3 + [REFUSING] * 50
    label(
        pairs_of(80), *flags, "--rows-per-rpc", "5", "--partitions", "8", "--in-flight", "1", script=refused, status=2
    )
    kept = sum(pq.read_table(path).num_rows for path in (tmp_path / "out" / "_scored").rglob("*.parquet"))
    assert label(pairs_of(80), *flags) == 45 - kept
    assert read("scores").count() == 80
    for name in ("scores", "labels"):
        spark.sql(f"DROP TABLE IF EXISTS stored_{name}")


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


def test_what_was_scored_before_a_gate_failed_is_there_for_other_dates(
    label: Callable[..., int], tmp_path: Path
) -> None:
    pairs: list[tuple[Text, Text]] = [*pairs_of(20), *((None, f"title {row}") for row in range(200))]
    assert label(pairs, "--format", "orc", "--gate", "rejected_rows=fail:0.01", status=3) == 20
    assert not list((tmp_path / "out").glob("_*"))
    assert label(pairs, "--format", "orc", "--gate", "labelled_rows=0.05", day="02") == 0


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
        assert label(pairs_of(5), "--labels", str(shared), *flags, day="02") == 5
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


def test_tables_whose_union_would_convert_values_are_refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, kind in {"numbered": "int", "named": "string"}.items():
        columns = f"id {kind}, query string, title string"
        spark.createDataFrame([], columns).createOrReplaceTempView(name)
    flags = ["--output", str(tmp_path / "out"), "--run-date", "2026-11-01", "--target", "localhost:9"]
    assert main(["--input", "numbered", "--input", "named", *flags]) == 2
    assert "have different columns, or columns of other types" in capsys.readouterr().err
