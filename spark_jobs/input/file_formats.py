"""The format and compression of a file, by its name and its first bytes."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import IO, Protocol

from spark_jobs.errors import InputError
from spark_jobs.storage.paths import without_file_scheme

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}
COMPRESSION_MARKS = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "Zstandard": b"\x28\xb5\x2f\xfd"}
_WHITE_SPACE = str.maketrans("\t\r\n", "   ")
_UNSUPPORTED_COMPRESSIONS = frozenset({".snappy", ".lz4", ".deflate", ".lzo", ".xz", ".br"})
_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook; unpack it, or save it as CSV"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\xfd7zXZ\x00", "xz-compressed, which Spark cannot read; compress it with gzip or zstd"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV"),
    (b"ORC", "an ORC file, which is not read; convert it to Parquet"),
    (b"Obj\x01", "an Avro file, which is not read; convert it to Parquet"),
    (b"ARROW1", "an Arrow IPC (Feather) file, which is not read; convert it to Parquet"),
    (b"FEA1", "a Feather file, which is not read; convert it to Parquet"),
    (b"SQLite format 3", "an SQLite database, which is not read"),
    (b"%PDF", "a PDF document"),
)


class Files(Protocol):
    """The part of `spark_jobs.storage.filesystem.HadoopFileSystem` that reads input."""

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that a path or glob names."""
        ...

    def walk(self, path: str) -> list[tuple[str, int]]:
        """Return each file at or below a path, hidden ones too, with its size in bytes."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """Return a file's bytes as a stream that can seek."""
        ...


def format_of(files: Files, path: str, size: int, input_format: str) -> tuple[str, str]:
    """Return the format and the compression (or "") of a file by its name, after a check of its first bytes.

    Raises
    ------
    InputError
        If the format is unknown or not read, or the first bytes are of another format or compression.
    """
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    last = suffixes[-1] if suffixes else ""
    compression = _COMPRESSIONS.get(last, "")
    named = FORMATS.get(suffixes[-2] if compression and len(suffixes) > 1 else last)
    kind = named if input_format == "auto" else input_format
    name = without_file_scheme(path)
    if not size:
        if kind is None:
            raise InputError(f"cannot tell the format of {name}: it is empty; remove it")
        return kind, compression
    head = _head(files, path)
    if kind is None and head.startswith(b"PAR1"):
        kind = "parquet"
    # A CSV file whose first column is ORCID is text; files of these kinds are not, within so many bytes.
    is_text = kind is not None and head.isascii() and head.decode().translate(_WHITE_SPACE).isprintable()
    for mark, what in _OTHER_KINDS:
        if head.startswith(mark) and kind != "parquet" and not is_text:
            raise InputError(f"cannot read {name}: it is {what}")
    if last in _UNSUPPORTED_COMPRESSIONS and kind != "parquet":
        raise InputError(
            f"cannot read {name}: text compressed as {last[1:]} is not read; use gzip (.gz) or zstd (.zst)"
        )
    if kind is None:
        raise InputError(
            f"cannot tell the format of {name} by its name; give --input-format parquet, csv or json, or name the "
            "files to read, for example by a glob such as 'FOLDER/*.parquet'"
        )
    if kind == "parquet":
        return kind, ""
    if head.startswith(b"PAR1"):
        raise InputError(f"cannot read {name} as {kind}: it is a Parquet file; rename it to end in .parquet")
    for actual, mark in COMPRESSION_MARKS.items():
        if head.startswith(mark) and compression != actual and (actual != "bzip2" or head[4:7] == b"1AY"):
            suffix = next(suffix for suffix, what in _COMPRESSIONS.items() if what == actual)
            raise InputError(f"cannot read {name}: it is compressed with {actual}; rename it to end in {suffix}")
    if compression and not head.startswith(COMPRESSION_MARKS[compression]):
        raise InputError(f"cannot read {name}: its name ends in {last}, but it is not compressed with {compression}")
    return kind, compression


def _head(files: Files, path: str) -> bytes:
    with files.open(path) as stream:
        return stream.read(16)
