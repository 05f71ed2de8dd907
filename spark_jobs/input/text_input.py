"""Finding the text files that need a close look, and the line at fault in one.

Spark's CSV and JSON sources pass over many errors in silence. One cheap pass in Spark finds the files with suspicious
lines; the driver then reads only those, until the first error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.errors import InputError
from spark_jobs.input.compression import open_text
from spark_jobs.input.file_formats import Files
from spark_jobs.input.file_loading import path_options
from spark_jobs.input.input_files import InputFile
from spark_jobs.input.text_encoding import Encoding
from spark_jobs.input.text_lines import LineError, lines_of

SCANNED_BYTES = 8 << 20
"""Files that together are no larger are read whole by the driver, which costs less than a Spark job."""

Lines = Iterable[tuple[int, bytes]]
"""Line numbers and lines."""


def scanned_by_driver(files: Sequence[InputFile], encoding: Encoding) -> bool:
    """Return whether the driver reads all files: small ones, and encodings whose lines Spark cannot split."""
    return not encoding.utf8 or sum(file.size for file in files) <= SCANNED_BYTES


def raise_line_error(
    files: Files, file: InputFile, encoding: Encoding, line_end: str, check: Callable[[Lines], None]
) -> None:
    """Read a file on the driver until its first error.

    Raises
    ------
    InputError
        Naming file and line.
    """
    with open_text(files, file) as stream:
        lines = lines_of(stream, encoding.python, line_end.encode(), file.compression)
        try:
            check(_read_alike(lines, encoding) if encoding.unlike else lines)
        except LineError as fault:
            raise InputError(fault.about(file.shown)) from None


def _read_alike(lines: Lines, encoding: Encoding) -> Lines:
    for number, line in lines:
        if not line.isascii() and (found := encoding.unlike.intersection(line.decode())):
            raise LineError(
                number, f"Java's {encoding.java} has another character for '{min(found)}'; convert the file to UTF-8"
            )
        yield number, line


def suspicious_files(
    spark: SparkSession, files: Sequence[InputFile], line_end: str | None, suspicious: Column
) -> list[InputFile]:
    """Return the files with a line for which `suspicious`, a condition on `value`, holds; one cheap pass in Spark.

    Spark's text source returns the bytes of a line unchanged.
    """
    options = {**path_options(files), **({"lineSep": line_end} if line_end else {})}
    lines = spark.read.options(**options).text([file.path for file in files])
    found = lines.where(suspicious).select(F.col("_metadata.file_path")).distinct().collect()
    names = {_plain(unquote(row[0])) for row in found}
    known = {_plain(file.path): file for file in files}
    # If Spark writes a name in another way, all files are read.
    return [known[name] for name in names] if names <= known.keys() else list(files)


def _plain(path: str) -> str:
    scheme, separator, rest = path.partition(":")
    return f"{scheme}{separator}/{rest.lstrip('/')}"
