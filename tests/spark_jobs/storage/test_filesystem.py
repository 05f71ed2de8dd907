"""File operations through Hadoop, on a local disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.paths import OutsideError


@pytest.fixture
def filesystem(spark: SparkSession) -> HadoopFileSystem:
    return HadoopFileSystem(spark)


def test_a_path_that_exists_is_literal_and_any_other_a_glob(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    (tmp_path / "a1.csv").touch()
    assert filesystem.matches(f"{tmp_path}/a[1].csv") == [f"file:{tmp_path}/a1.csv"]
    (tmp_path / "a[1].csv").touch()
    assert filesystem.matches(f"{tmp_path}/a[1].csv") == [f"file:{tmp_path}/a[1].csv"]
    assert filesystem.matches(f"{tmp_path}/none*") == []


def test_text_is_written_replaced_and_read(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    path = f"{tmp_path}/folder/note.json"
    assert filesystem.read_text(path) == ""
    assert filesystem.modified_ms(path) is None
    filesystem.write_text(path, "one")
    assert filesystem.read_text(path) == "one"
    assert filesystem.modified_ms(path)
    page = f"{tmp_path}/folder/page.html"
    for text in ("first", "second ü"):
        filesystem.replace_text(page, text)
        assert filesystem.read_text(page) == text
    assert filesystem.names(f"{tmp_path}/folder") == ["note.json", "page.html"]


def test_what_might_never_end_is_not_read(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert filesystem.read_text(f"{tmp_path}/pipe") == ""
    assert filesystem.read_text(f"file:{tmp_path}/device") == ""


def test_a_rename_never_replaces(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with pytest.raises(OSError, match="could not be renamed"):
        filesystem.rename(f"{tmp_path}/one", f"{tmp_path}/two")
    filesystem.rename(f"{tmp_path}/one", f"{tmp_path}/new/three")
    assert (tmp_path / "new" / "three").is_dir()


def test_only_what_lies_below_is_deleted(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    (tmp_path / "own" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(OutsideError):
        filesystem.delete(f"{tmp_path}/own/../other", below=f"{tmp_path}/own")
    filesystem.delete_if_empty(f"{tmp_path}/own")
    assert (tmp_path / "own" / "sub").is_dir()
    filesystem.delete(f"{tmp_path}/own/sub", below=f"{tmp_path}/own")
    filesystem.delete_if_empty(f"{tmp_path}/own")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_hidden_files_are_walked_but_are_no_data(filesystem: HadoopFileSystem, tmp_path: Path) -> None:
    (tmp_path / "in" / "_hidden").mkdir(parents=True)
    (tmp_path / "in" / "_hidden" / "a").write_text("xy")
    assert filesystem.walk(f"file:{tmp_path}/in") == [(f"file:{tmp_path}/in/_hidden/a", 2)]
    assert filesystem.first_file(f"{tmp_path}/in") is None
    (tmp_path / "in" / "b").touch()
    assert filesystem.first_file(f"{tmp_path}/in") == f"file:{tmp_path}/in/b"


def test_no_task_is_waited_for_when_none_runs(filesystem: HadoopFileSystem) -> None:
    filesystem.wait_for_writers(timeout_seconds=0.0)
