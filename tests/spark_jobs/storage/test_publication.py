"""A published partition is whole, whatever happens on the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from spark_jobs.errors import DateTakenError
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.paths import OutsideError
from spark_jobs.storage.publication import Publication
from spark_jobs.storage.tables import Table

DAY = date(2026, 11, 1)


def of_run(spark: SparkSession, folder: Path, run_id: str) -> Publication:
    return Publication(
        spark,
        HadoopFileSystem(spark),
        Table(str(folder / "labels")),
        staging=str(folder / "_staging" / "day"),
        run_date=DAY,
        run_id=run_id,
    )


@pytest.fixture
def publication(spark: SparkSession, tmp_path: Path) -> Publication:
    return of_run(spark, tmp_path, "this-run")


def publish(publication: Publication, spark: SparkSession, value: int) -> None:
    publication.commit(publication.stage(spark.range(value, value + 3)), lambda: None)
    publication.clean(["this-run"])


def ids(folder: Path) -> list[int]:
    return sorted(pq.read_table(folder / "labels" / f"run_date={DAY}").column("id").to_pylist())


def test_a_partition_replaces_an_older_one(publication: Publication, spark: SparkSession, tmp_path: Path) -> None:
    for value in (0, 10):
        publish(publication, spark, value)
        assert ids(tmp_path) == [value, value + 1, value + 2]
        assert [path.name for path in tmp_path.iterdir()] == ["labels"]
        assert [path.name for path in (tmp_path / "labels").iterdir()] == [f"run_date={DAY}"]


def test_readers_do_not_see_staged_rows(publication: Publication, spark: SparkSession, tmp_path: Path) -> None:
    publish(publication, spark, 0)
    staged = publication.stage(spark.range(10, 13))
    assert sorted(row.id for row in staged.collect()) == [10, 11, 12]
    assert {row.run_date for row in staged.collect()} == {DAY}
    assert ids(tmp_path) == [0, 1, 2]
    publication.clean(["this-run"])
    assert ids(tmp_path) == [0, 1, 2]


def test_a_run_that_lost_its_lock_publishes_nothing(
    publication: Publication, spark: SparkSession, tmp_path: Path
) -> None:
    publish(publication, spark, 0)

    def lost() -> None:
        raise DateTakenError("lost")

    with pytest.raises(DateTakenError):
        publication.commit(publication.stage(spark.range(10, 13)), lost)
    publication.clean(["this-run"])
    assert ids(tmp_path) == [0, 1, 2]


def test_a_commit_killed_between_the_two_renames_is_rolled_back(
    publication: Publication, spark: SparkSession, tmp_path: Path
) -> None:
    publish(publication, spark, 0)
    publication.stage(spark.range(10, 13))
    (tmp_path / "labels" / f"run_date={DAY}").rename(tmp_path / "_staging" / "day" / "this-run" / "replaced")
    publication.clean(["this-run"])
    assert ids(tmp_path) == [0, 1, 2]
    assert not (tmp_path / "_staging").exists()


def test_what_a_run_left_that_failed_to_clean_up_is_found(
    publication: Publication, spark: SparkSession, tmp_path: Path
) -> None:
    assert publication.abandoned() == []
    publish(publication, spark, 0)
    (tmp_path / "_staging" / "day" / "lost").mkdir(parents=True)
    (tmp_path / "_staging" / "day" / ".hidden").mkdir()
    (tmp_path / "labels" / f"run_date={DAY}").rename(tmp_path / "_staging" / "day" / "lost" / "replaced")
    assert publication.abandoned() == ["lost"]
    publication.clean(publication.abandoned())
    assert ids(tmp_path) == [0, 1, 2]


def test_a_second_rename_that_fails_leaves_the_older_partition(
    publication: Publication, spark: SparkSession, tmp_path: Path
) -> None:
    publish(publication, spark, 0)
    staged = publication.stage(spark.range(10, 13))
    (tmp_path / "_staging" / "day" / "this-run" / "labels").rename(tmp_path / "gone")
    with pytest.raises(Exception, match="labels"):
        publication.commit(staged, lambda: None)
    publication.clean(["this-run"])
    assert ids(tmp_path) == [0, 1, 2]


def test_what_is_published_counts_even_if_a_file_of_it_is_damaged_or_foreign(
    publication: Publication, tmp_path: Path
) -> None:
    assert publication.labelled_before() is None
    partition = tmp_path / "labels" / f"run_date={DAY}"
    partition.mkdir(parents=True)
    for name, statuses in {"a": ["OK", "FAILED"], "b": ["OK", "OK"]}.items():
        pq.write_table(pa.table({"status": statuses}), partition / f"{name}.parquet")
    assert publication.labelled_before() == 3
    (partition / "b.parquet").write_bytes(b"PAR1 cut off")
    assert publication.labelled_before() == 1
    (partition / "a.parquet").write_bytes(b"PAR1 cut off")
    assert publication.labelled_before() is None
    pq.write_table(pa.table({"label": ["relevant"] * 5}), partition / "a.parquet")
    (partition / "b.parquet").unlink()
    assert publication.labelled_before() == 5


@pytest.mark.parametrize("run_id", ["../../victim", "..", ".", "", "/", "a/../../../victim"])
def test_nothing_outside_of_the_staging_folder_is_deleted_or_moved(
    spark: SparkSession, tmp_path: Path, publication: Publication, run_id: str
) -> None:
    (tmp_path / "victim" / "replaced").mkdir(parents=True)
    staged = publication.stage(spark.range(3))
    with pytest.raises(OutsideError, match="it was left alone"):
        publication.clean([run_id])
    assert (tmp_path / "victim" / "replaced").is_dir()
    assert staged.count() == 3
    assert not (tmp_path / "labels").exists()


def test_a_link_in_the_place_of_the_staging_folder_is_refused(publication: Publication, tmp_path: Path) -> None:
    (tmp_path / "victim" / "data" / "replaced").mkdir(parents=True)
    (tmp_path / "_staging").mkdir()
    (tmp_path / "_staging" / "day").symlink_to("../victim")
    with pytest.raises(OutsideError, match="a symbolic link leads to"):
        publication.clean(["data"])
    assert (tmp_path / "victim" / "data" / "replaced").is_dir()
    assert not (tmp_path / "labels").exists()


def test_a_run_taken_for_dead_does_not_touch_its_successor(spark: SparkSession, tmp_path: Path) -> None:
    frozen, successor = of_run(spark, tmp_path, "frozen"), of_run(spark, tmp_path, "successor")
    publish(of_run(spark, tmp_path, "this-run"), spark, 0)
    stale = frozen.stage(spark.range(10, 13))
    successor.clean(["frozen", "successor"])
    staged = successor.stage(spark.range(20, 23))
    # It wakes up: what it had written is gone, and what it writes, renames or deletes now is its own.
    with pytest.raises(Exception, match="frozen"):
        frozen.commit(stale, lambda: None)
    frozen.clean(["frozen"])
    assert ids(tmp_path) == [0, 1, 2]
    assert staged.count() == 3
    successor.commit(staged, lambda: None)
    successor.clean(["frozen", "successor"])
    assert ids(tmp_path) == [20, 21, 22]
    assert not (tmp_path / "_staging").exists()
