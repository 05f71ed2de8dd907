"""Which files an input names, in which format each is, and whether their first bytes agree.

Files are judged by their first bytes and their names before Spark opens any of them: Spark takes the first file's
format for all, skips what lies in sub-folders, and says of most faults that a file "is damaged".
"""

from __future__ import annotations

import bz2
import gzip
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Protocol, cast

import pyarrow as pa

from spark_jobs.errors import InputError

log = logging.getLogger("spark_jobs")

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
_TAB_SEPARATED = frozenset({".tsv", ".tab"})
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}
_COMPRESSION_MARKS = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "Zstandard": b"\x28\xb5\x2f\xfd"}
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
_TABLE_FOLDERS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
_WRITERS_NOTES = ("_SUCCESS", "_metadata", "_common_metadata", "_committed_", "_started_", "_temporary")

HEAD_BYTES = 1 << 20
"""So much of a text file is looked at to learn its header."""


class Files(Protocol):
    """The part of `spark_jobs.storage.filesystem.HadoopFileSystem` that is needed here."""

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that a path or glob names."""
        ...

    def walk(self, path: str) -> list[tuple[str, int]]:
        """Return each file at or below a path, hidden ones too, with its size in bytes."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """Return a file's bytes as a stream that can seek."""
        ...


@dataclass(frozen=True)
class InputFile:
    """One file that holds rows.

    Attributes
    ----------
    path
        With its scheme.
    size
        Bytes as stored.
    root
        The folder that `path` was found below, or its own if it was named itself.
    partitions
        Names that Hive-style folders (`name=value`) between the two give to columns.
    format
        `parquet`, `csv` or `json`.
    compression
        `gzip`, `bzip2`, `Zstandard`, or empty.
    """

    path: str
    size: int
    root: str
    partitions: tuple[str, ...]
    format: str
    compression: str

    @property
    def shown(self) -> str:
        """The path as messages name it."""
        return shown(self.path)

    @property
    def tab_separated(self) -> bool:
        """Whether the name says that fields are separated by tabs."""
        return any(suffix.lower() in _TAB_SEPARATED for suffix in PurePosixPath(self.path).suffixes)


def shown(path: str) -> str:
    """Return a path without the scheme of this machine's own files."""
    return re.sub("^file:(//(?=/))?", "", path)


def find_files(files: Files, paths: Sequence[str], input_format: str) -> list[InputFile]:
    """Return the files with rows that the inputs name, all of one format; empty files are left out.

    Raises
    ------
    InputError
        If a path does not exist or holds no files, a file is of no known format or not what its name says, files are of
        different formats, or a folder is the storage of a table.
    """
    found: list[InputFile] = []
    for path in paths:
        roots = files.matches(path)
        if not roots:
            raise InputError(f"input {path} does not exist")
        below = [file for root in roots for file in _below(files, root, input_format)]
        if not below:
            raise InputError(f"input {path} holds no files")
        found += below
    seen: set[str] = set()
    for file in found:
        if file.path in seen:
            raise InputError(f"{file.shown} is named by two inputs; its rows would come twice")
        seen.add(file.path)
    filled = [file for file in found if file.size]
    if empty := [file for file in found if not file.size]:
        for file in empty:
            if file.format == "parquet":
                raise InputError(f"cannot read {file.shown}: it is empty, and a Parquet file never is; write it anew")
        log.info("empty files left out", extra={"files": len(empty), "first": empty[0].shown})
    if not filled:
        raise InputError(f"the input {', '.join(paths)} has no rows")
    by_format = {file.format: file for file in reversed(filled)}
    if len(by_format) > 1:
        listed = ", ".join(f"{file.shown} is {kind}" for kind, file in by_format.items())
        raise InputError(
            f"the input's files have different formats ({listed}); name the files of one format, for example by a glob "
            "such as 'FOLDER/*.parquet'"
        )
    return filled


@contextmanager
def open_text(files: Files, file: InputFile) -> Iterator[IO[bytes]]:
    """Open a text file as a stream of its decompressed bytes."""
    with files.open(file.path) as raw:
        if file.compression == "gzip":
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif file.compression == "bzip2":
            yield bz2.BZ2File(raw)
        elif file.compression == "Zstandard":
            yield cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
        else:
            yield raw


DECOMPRESSION_ERRORS: tuple[Any, ...] = (EOFError, gzip.BadGzipFile, zlib.error, OSError, pa.ArrowException)
"""What reading a stream of `open_text` raises if the compressed data are cut off or damaged."""


def _below(files: Files, root: str, input_format: str) -> list[InputFile]:
    found, hidden = [], []
    for path, size in files.walk(root):
        below = path[len(root) :].strip("/")
        parts = below.split("/") if below else []
        for part in parts[:-1]:
            if part in _TABLE_FOLDERS:
                raise InputError(
                    f"input {shown(root)} is the storage of a {_TABLE_FOLDERS[part]} table, whose files also hold rows "
                    "that were deleted; give the table's name in Spark's catalog instead"
                )
        if any(map(_is_hidden, parts)):
            if not any(part.startswith(_WRITERS_NOTES) for part in parts) and not path.endswith(".crc"):
                hidden.append(path)
            continue
        if not parts and _is_hidden(root.rsplit("/", 1)[-1]):
            raise InputError(f"cannot read {shown(root)}: Spark skips names that begin with '_' or '.'; rename it")
        keys = tuple(part.split("=", 1)[0] for part in parts[:-1] if "=" in part)
        if keys and len(keys) != len(parts) - 1:
            raise InputError(
                f"{shown(path)} lies in folders of which some are named NAME=VALUE and some are not; give folders "
                "whose files all lie equally deep"
            )
        kind, compression = _kind(files, path, size, input_format)
        start = root if keys else path.rsplit("/", 1)[0]
        found.append(InputFile(path, size, start, keys, kind, compression))
    if hidden:
        log.warning("files with hidden names are not read", extra={"files": len(hidden), "first": shown(hidden[0])})
    for file in found:
        if file.partitions != found[0].partitions:
            raise InputError(
                f"{found[0].shown} and {file.shown} lie in folders that give different columns "
                f"({', '.join(found[0].partitions) or 'none'}; {', '.join(file.partitions) or 'none'}); give each as "
                "an input of its own, or move them"
            )
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _kind(files: Files, path: str, size: int, input_format: str) -> tuple[str, str]:
    """Return format and compression of a file by its name, having compared it with the first bytes."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
    last = suffixes[-1] if suffixes else ""
    compression = _COMPRESSIONS.get(last, "")
    named = FORMATS.get(suffixes[-2] if compression and len(suffixes) > 1 else last)
    kind = named if input_format == "auto" else input_format
    name = shown(path)
    if not size:
        if kind is None:
            raise InputError(f"cannot tell the format of {name}: it is empty; remove it")
        return kind, compression
    head = _head(files, path)
    if kind is None and head.startswith(b"PAR1"):
        kind = "parquet"
    for mark, what in _OTHER_KINDS:
        if head.startswith(mark) and kind != "parquet":
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
    for actual, mark in _COMPRESSION_MARKS.items():
        if head.startswith(mark) and compression != actual and (actual != "bzip2" or head[4:7] == b"1AY"):
            suffix = next(suffix for suffix, what in _COMPRESSIONS.items() if what == actual)
            raise InputError(f"cannot read {name}: it is compressed with {actual}; rename it to end in {suffix}")
    if compression and not head.startswith(_COMPRESSION_MARKS[compression]):
        raise InputError(f"cannot read {name}: its name ends in {last}, but it is not compressed with {compression}")
    return kind, compression


def _head(files: Files, path: str) -> bytes:
    with files.open(path) as stream:
        return stream.read(16)
