"""Which files are the input: by folder, glob, link and literal name; what is none is refused by a sentence."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from spark_jobs.errors import InputError
from spark_jobs.storage.filesystem import HadoopFileSystem
from tests.spark_jobs.input.conftest import JSON, PAIR, PARQUET, PLAIN, PLAIN_ROWS, Content, Read, parquet


def archive(name: str, kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as file:
            file.writestr(name, PLAIN)
    else:
        with tarfile.open(fileobj=sink, mode="w:") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = len(PLAIN)
            tar.addfile(entry, io.BytesIO(PLAIN.encode()))
    return sink.getvalue()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"a.csv": "query, title\na,b\n"},
            r"no column 'title' \(--title-column\), it has 'query' \(string\), ' title'",
        ),
        ({"a.csv": archive("a.csv", "zip")}, "a.csv: it is a zip archive"),
        ({"a.csv": archive("a.csv", "tar")}, "a.csv: it is a tar archive"),
        (
            {"a.csv": gzip.compress(PLAIN.encode(), mtime=0)},
            "a.csv: it is compressed with gzip; rename it to end in .gz",
        ),
        ({"a.csv.gz": PLAIN}, "a.csv.gz: its name ends in .gz, but it is not compressed with gzip"),
        ({"a.csv": parquet(PARQUET)}, "a.csv as csv: it is a Parquet file"),
        ({"a.parquet": PARQUET, "manifest.json": "{}"}, "manifest.json is json"),
        ({"a.parquet": PARQUET, "README.md": "x"}, "cannot tell the format of .*README.md"),
        ({"run_date=2026-11-01/a.parquet": PARQUET}, "run_date=…, which gives"),
        ({"title=x/a.parquet": PARQUET}, "a.parquet has a column 'title', and a folder above it"),
        (
            {"k=/a.parquet": PARQUET},
            "k=/a.parquet lies in folders named NAME=VALUE of which one has no name or no value",
        ),
        ({"k=1/K=2/a.parquet": PARQUET}, "or whose name comes twice"),
        ({"k=1/a.parquet": PARQUET, "b.parquet": PARQUET}, "folders that give different columns"),
        ({"_delta_log/0.json": "{}", "a.parquet": PARQUET}, "the storage of a Delta table"),
        ({"a.parquet": pa.table({**PAIR, "status": ["x"]})}, "column 'status' of the input"),
    ],
)
def test_what_is_no_input_is_refused_by_a_sentence(read: Read, files: dict[str, Content], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(files)


@pytest.mark.parametrize("content", [PLAIN, JSON, PARQUET], ids=["csv", "json", "parquet"])
def test_folders_give_columns_as_they_are_named(read: Read, content: Content) -> None:
    suffix = "parquet" if isinstance(content, pa.Table) else "csv" if content is PLAIN else "jsonl"
    rows = read({f"sku={sku}/a.{suffix}": content for sku in ("007", "8")}, "sku")
    assert set(rows) == {("007",), ("8",)}


def test_names_of_folders_are_unescaped_as_spark_escapes_them(read: Read) -> None:
    assert set(read({"a%20b=1%2F2/a.csv": PLAIN}, "a b")) == {("1/2",)}


@pytest.mark.parametrize("name", ["pairs[1].csv", "{env}.csv", "what?.csv", "a*b.csv", "run:1/a,b.csv", "[x]/{y}.csv"])
def test_names_are_literal_if_there_is_such_a_file(read: Read, name: str) -> None:
    assert read({name: PLAIN}, path=f"in/{name}") == PLAIN_ROWS
    assert read({}, path=f"in/{Path(name).parts[0]}") == PLAIN_ROWS


def test_a_name_with_a_colon_in_the_working_folder(
    read: Read, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read({"01:30:00.csv": PLAIN}) == PLAIN_ROWS
    monkeypatch.chdir(tmp_path / "in")
    assert HadoopFileSystem(spark).matches("01:30:00.csv") == [f"file:{tmp_path}/in/01:30:00.csv"]


def test_a_file_that_two_inputs_name(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv is named by two inputs"):
        read({"a.csv": PLAIN}, more=[str(tmp_path / "in" / "a.csv")])


def test_links_do_not_bring_rows_twice(read: Read, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    assert read({"a.csv": PLAIN}) == PLAIN_ROWS
    (tmp_path / "in" / "latest.csv").symlink_to("a.csv")
    with pytest.raises(InputError, match=r"latest\.csv and .*a\.csv are one file, by a link"):
        read({})


def test_a_glob_names_the_files_that_it_matches(read: Read) -> None:
    files = {"a1.csv": PLAIN, "a2.csv": PLAIN, "b.parquet": PARQUET}
    assert len(read(files, path="in/a[12].csv")) == 4
    assert len(read(files, path="in/*.parquet")) == 1
    assert len(read({"_SUCCESS": "", "a1.csv": PLAIN}, path="in/[^b]*")) == 4
    assert len(read(files, path="in/{a1,a2}.csv")) == 4


@pytest.mark.parametrize("name", ["_pairs.csv", ".pairs.csv"])
def test_a_hidden_name_is_refused_if_it_was_asked_for(read: Read, name: str) -> None:
    with pytest.raises(InputError, match=r"begin with '_' or '\.'; rename it"):
        read({name: PLAIN}, path=f"in/{name}")
