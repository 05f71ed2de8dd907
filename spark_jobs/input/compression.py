"""Reading compressed text files."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

import pyarrow as pa

from spark_jobs.input.file_formats import Files
from spark_jobs.input.input_files import InputFile


@contextmanager
def open_text(files: Files, file: InputFile) -> Iterator[IO[bytes]]:
    """Open a text file as a stream of decompressed bytes."""
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
"""The errors that reading from `open_text` raises if the compressed data are cut off or damaged."""
