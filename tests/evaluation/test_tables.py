"""Readers name the file and what is wrong with it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.errors import DataError
from evaluation.tables import column_names, read_lines, read_table


@pytest.mark.parametrize(
    ("name", "write", "complaint"),
    [
        ("log", lambda path: path.mkdir(), r"log: has no file that ends in \.parquet"),
        ("p.csv", lambda path: path.write_text("q,t\na,b\n"), r"column query is missing; the columns are q, t"),
        ("p.tsv", lambda path: path.write_text("query\ttitle\n"), r"p\.tsv: has no rows"),
        ("p.xls", lambda path: path.write_text("query\ttitle\n"), r"p\.xls: expected a \.csv"),
        ("p.xlsx", lambda path: path.write_bytes(b"PK"), r"p\.xlsx: expected .* save the sheet as CSV in UTF-8"),
        (
            "p.csv",
            lambda path: path.write_bytes("query,title\né,b\n".encode("latin-1")),
            r"not UTF-8 \(byte 12\): save",
        ),
        ("p.tsv.gz", lambda path: path.write_bytes(gzip.compress(b"q" * 99)[:-20]), r"p\.tsv\.gz: cannot be read"),
        ("p.tsv.gz", lambda path: path.write_bytes(damaged(gzip.compress(b"q" * 99))), r"p\.tsv\.gz: cannot be read"),
        ("p.parquet", lambda path: write_parquet(path, [["a"]]), r"column query cannot be read as text"),
        (
            "p.parquet",
            lambda path: write_parquet(path, [b"\xff"]),
            r"column query (is not UTF|cannot be read)",
        ),
        ("p.parquet", lambda path: path.write_bytes(b"PAR1"), r"p\.parquet: cannot be read as Parquet"),
    ],
)
def test_a_bad_file_is_named(name: str, write: Callable[[Path], object], complaint: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=complaint):
        read_table(tmp_path / name, ["query", "title"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_as_any_spreadsheet_writes_it(separator: str, tmp_path: Path) -> None:
    rows = [["title", '"query"'], ['"12"" pan; lid, steel"', "pan"]]
    if separator == "\t":
        rows = [["title", "query"], ['12" pan; lid, steel', "pan"]]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\r\n"
    (tmp_path / "p.csv").write_bytes(text.encode())
    assert column_names(tmp_path / "p.csv") == ["title", "query"]
    assert read_table(tmp_path / "p.csv", ["query", "title"]) == {"query": ["pan"], "title": ['12" pan; lid, steel']}


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for number in range(2):
        write_parquet(tmp_path / f"part-{number}.parquet", [f"query {number}"])
    assert read_table(tmp_path, ["query"]) == {"query": ["query 0", "query 1"]}


def test_lines_are_read_without_blank_ones(tmp_path: Path) -> None:
    (tmp_path / "q.txt.gz").write_bytes(gzip.compress(b"red shoes\n\n \nlamp\n"))
    assert read_lines(tmp_path / "q.txt.gz") == ["red shoes", "lamp"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="has no lines"):
        read_lines(tmp_path / "empty.txt")


def write_parquet(path: Path, queries: list[object]) -> None:
    pq.write_table(pa.table({"query": queries, "title": ["a"] * len(queries)}), path)


def damaged(packed: bytes) -> bytes:
    return packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:]
