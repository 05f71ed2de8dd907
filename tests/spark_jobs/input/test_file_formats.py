"""The format of a file by its name, checked against its first bytes."""

from __future__ import annotations

import io
from typing import IO

import pytest

from spark_jobs.errors import InputError
from spark_jobs.input.file_formats import format_of

GZIP, ZSTD, PARQUET = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1"


class OneFile:
    """A file system with one file."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def matches(self, pattern: str) -> list[str]:
        return [pattern]

    def walk(self, path: str) -> list[tuple[str, int]]:
        return [(path, len(self._head))]

    def open(self, path: str) -> IO[bytes]:
        return io.BytesIO(self._head)


@pytest.mark.parametrize(
    ("name", "head", "given", "expected"),
    [
        ("a.csv", b"query,title", "auto", ("csv", "")),
        ("a.csv", b"ORCID,query,title", "auto", ("csv", "")),
        ("a.TSV", b"query\ttitle", "auto", ("csv", "")),
        ("a.jsonl.gz", GZIP, "auto", ("json", "gzip")),
        ("a.csv.zst", ZSTD, "auto", ("csv", "Zstandard")),
        ("part-0", PARQUET, "auto", ("parquet", "")),
        ("a.txt", b"query,title", "csv", ("csv", "")),
        ("a.gz.parquet", PARQUET, "auto", ("parquet", "")),
    ],
)
def test_name_and_first_bytes_agree(name: str, head: bytes, given: str, expected: tuple[str, str]) -> None:
    assert format_of(OneFile(head), f"file:/in/{name}", len(head), given) == expected


@pytest.mark.parametrize(
    ("name", "head", "sentence"),
    [
        ("a.txt", b"x", "cannot tell the format of /in/a.txt by its name"),
        ("a.csv", PARQUET, "it is a Parquet file"),
        ("a.csv", GZIP, "it is compressed with gzip; rename it to end in .gz"),
        ("a.csv.gz", b"query", "it is not compressed with gzip"),
        ("a.csv", b"PK\x03\x04", "a zip archive or an Excel workbook"),
        ("a.csv", b"ORC\x0a\x03\x00", "it is an ORC file"),
        ("a.csv.xz", b"x", "text compressed as xz is not read"),
    ],
)
def test_name_and_first_bytes_disagree(name: str, head: bytes, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        format_of(OneFile(head), f"file:/in/{name}", len(head), "auto")
    assert sentence in str(caught.value)
