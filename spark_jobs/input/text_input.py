"""What CSV and JSON lines files share: the files that need a close look are found, and in them the line at fault.

Spark's CSV and JSON sources pass over many errors in silence. One cheap pass in Spark finds the files with suspicious
lines; the driver then reads only those, until the first error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.errors import InputError
from spark_jobs.input.compression import open_text
from spark_jobs.input.file_formats import Files
from spark_jobs.input.file_loading import path_options
from spark_jobs.input.input_files import InputFile
from spark_jobs.input.text_encoding import Encoding
from spark_jobs.input.text_lines import LineError, lines_of

SCANNED_BYTES = 8 << 20
"""Files that together are no larger are read whole by the driver."""

Lines = Iterable[tuple[int, bytes]]
"""Line numbers and lines."""


class TextInput(ABC):
    """Text files of one encoding.

    Parameters
    ----------
    spark, files
        The session, and its file system.
    inputs
        The files that have rows.
    encoding
        Encoding of all files.
    """

    def __init__(self, spark: SparkSession, files: Files, inputs: Sequence[InputFile], encoding: Encoding) -> None:
        self._spark = spark
        self._files = files
        self._inputs = inputs
        self._encoding = encoding

    def check(self) -> None:
        """Look for errors that Spark would pass over in silence.

        Raises
        ------
        InputError
            Naming file and line.
        """
        # Small files cost the driver less than a Spark job, and Spark cannot split the lines of all encodings.
        if not self._encoding.utf8 or sum(file.size for file in self._inputs) <= SCANNED_BYTES:
            self.locate()
            return
        for file in self._suspicious():
            self._look(file)

    def locate(self) -> None:
        """Read the files on the driver until the first error.

        Raises
        ------
        InputError
            Naming file and line, if there is an error.
        """
        for file in self._inputs:
            self._look(file)

    @abstractmethod
    def frame(self) -> DataFrame:
        """Return the rows."""

    @abstractmethod
    def _suspicious(self) -> Iterable[InputFile]:
        """Return the files that may have an error."""

    @abstractmethod
    def _look(self, file: InputFile) -> None:
        """Read a file on the driver until its first error, and raise it."""

    def _raise_line_error(self, file: InputFile, line_end: str, check: Callable[[Lines], None]) -> None:
        """Read a file on the driver until `check` raises a `LineError`; an `InputError` then names file and line."""
        encoding = self._encoding
        with open_text(self._files, file) as stream:
            lines = lines_of(stream, encoding.python, line_end.encode(), file.compression)
            try:
                check(_read_alike(lines, encoding) if encoding.unlike else lines)
            except LineError as fault:
                raise InputError(fault.about(file.shown)) from None

    def _files_with(
        self, suspicious: Column, files: Sequence[InputFile] | None = None, line_end: str | None = None
    ) -> list[InputFile]:
        """Return the files with a line for which `suspicious`, a condition on `value`, holds; one cheap pass in Spark.

        Spark's text source returns the bytes of a line unchanged.
        """
        files = self._inputs if files is None else files
        options = {**path_options(files), **({"lineSep": line_end} if line_end else {})}
        lines = self._spark.read.options(**options).text([file.path for file in files])
        found = lines.where(suspicious).select(F.col("_metadata.file_path")).distinct().collect()
        names = {_plain(unquote(row[0])) for row in found}
        known = {_plain(file.path): file for file in files}
        # If Spark writes a name in another way, all files are read.
        return [known[name] for name in names] if names <= known.keys() else list(files)


def _read_alike(lines: Lines, encoding: Encoding) -> Lines:
    for number, line in lines:
        if not line.isascii() and (found := encoding.unlike.intersection(line.decode())):
            raise LineError(
                number, f"Java's {encoding.java} has another character for '{min(found)}'; convert the file to UTF-8"
            )
        yield number, line


def _plain(path: str) -> str:
    scheme, separator, rest = path.partition(":")
    return f"{scheme}{separator}/{rest.lstrip('/')}"
