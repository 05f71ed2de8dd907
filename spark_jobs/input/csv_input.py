"""CSV files: the header and the line end of each file are found, and Spark reads it by exactly these."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StringType, StructField, StructType

from spark_jobs.columns import unused_names
from spark_jobs.errors import InputError
from spark_jobs.input.csv_scan import check_csv
from spark_jobs.input.file_formats import Files
from spark_jobs.input.file_loading import check_partition_names, load_files
from spark_jobs.input.input_files import InputFile
from spark_jobs.input.text_encoding import HEAD_BYTES, Encoding, read_head
from spark_jobs.input.text_input import Lines, TextInput

_MOST_COLUMNS = 20480
_DELIMITERS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}


@dataclass(frozen=True)
class Dialect:
    """The syntax of a CSV file.

    Attributes
    ----------
    delimiter
        What separates fields.
    line_end
        LF, CR LF or CR, as after the header.
    header
        Names of the columns.
    """

    delimiter: str
    line_end: str
    header: tuple[str, ...] = field(compare=False)


class CsvInput(TextInput):
    """The CSV files of an input, whose headers must agree.

    Parameters
    ----------
    spark, files
        The session, and its file system.
    inputs
        What `find_files` returned.
    delimiter
        What separates fields; `None` for tabs in files named `.tsv` or `.tab`, and commas in others.
    encoding
        Encoding of all files.
    wanted
        Columns that must be there; if they are not, they show which delimiter a file has instead.

    Raises
    ------
    InputError
        If a file is not text, has another header than the first, or a name twice.
    """

    def __init__(
        self,
        spark: SparkSession,
        files: Files,
        inputs: Sequence[InputFile],
        *,
        delimiter: str | None,
        encoding: Encoding,
        wanted: tuple[str, str],
    ) -> None:
        self._dialects: dict[str, Dialect] = {}
        filled: list[InputFile] = []
        first: InputFile | None = None
        for file in inputs:
            own = delimiter or ("\t" if file.tab_separated else ",")
            dialect = _dialect(read_head(files, file, encoding), file, own)
            if dialect is None:  # nothing but blank lines
                continue
            _check_names(file, dialect, wanted)
            if first is not None:
                _check_same(file, dialect.header, first, self._dialects[first.path].header)
            first = first or file
            filled.append(file)
            self._dialects[file.path] = dialect
        if first is None:
            raise InputError(f"the input {inputs[0].shown} has no rows")
        super().__init__(spark, files, filled, encoding)
        self.header = self._dialects[first.path].header
        check_partition_names(self._inputs, self.header)

    def frame(self) -> DataFrame:
        """Return the rows; all columns are strings."""
        schema = StructType([StructField(name, StringType()) for name in self.header])
        frame: DataFrame | None = None
        for dialect, files in self._alike():
            options = {
                "header": "true",
                "mode": "FAILFAST",
                "sep": dialect.delimiter.replace("\\", "\\\\"),  # Spark reads escapes such as \t
                "lineSep": dialect.line_end,
                "encoding": self._encoding.java,
                # RFC 4180: a quote in a quoted field is doubled, and a quoted field may span lines.
                "escape": '"',
                "multiLine": "true",
                "unescapedQuoteHandling": "RAISE_ERROR",
                # Headers were compared already. Every line is parsed whole, not only the columns that a query needs.
                "enforceSchema": "true",
                "columnPruning": "false",
                "maxColumns": str(max(_MOST_COLUMNS, len(self.header) + 1)),
                "columnNameOfCorruptRecord": unused_names(self.header, ["corrupt"])["corrupt"],
            }
            part = load_files(self._spark, files, "csv", schema, options)
            frame = part if frame is None else frame.unionByName(part)
        assert frame is not None, "there are files"
        return frame

    def _alike(self) -> list[tuple[Dialect, list[InputFile]]]:
        groups: dict[Dialect, list[InputFile]] = {}
        for file in self._inputs:
            groups.setdefault(self._dialects[file.path], []).append(file)
        return list(groups.items())

    def _suspicious(self) -> Iterator[InputFile]:
        for dialect, files in self._alike():
            yield from self._files_with(_is_suspicious(dialect), files, dialect.line_end)

    def _look(self, file: InputFile) -> None:
        dialect = self._dialects[file.path]

        def check(lines: Lines) -> None:
            check_csv(
                lines,
                delimiter=dialect.delimiter.encode(),
                line_end=dialect.line_end.encode(),
                fields=len(dialect.header),
            )

        self._raise_line_error(file, dialect.line_end, check)


def _dialect(head: str, file: InputFile, delimiter: str) -> Dialect | None:
    head = head.lstrip("\r\n")
    if not head.strip("\r\n \ufeff"):
        return None
    quoted, end = False, None
    for match in re.finditer('"|\r\n|\n|\r', head):
        if match[0] == '"':
            quoted = not quoted
        elif not quoted:
            end = match
            break
    if end is None and len(head) >= HEAD_BYTES // 4:
        raise InputError(
            f"cannot read {file.shown}, line 1: the header does not end within {len(head)} characters; it must be a "
            "line that names the columns"
        )
    record = head[: end.start()] if end else head
    try:
        header = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        if (other := next((other for other in _DELIMITERS if f'"{other}' in record), delimiter)) != delimiter:
            raise _separated_by(other, file) from None
        raise InputError(f"cannot read {file.shown}, line 1: {error}; the first line must name the columns") from None
    return Dialect(delimiter, end[0] if end else "\n", tuple(header))


def _check_names(file: InputFile, dialect: Dialect, wanted: tuple[str, str]) -> None:
    header = dialect.header
    lowered = [name.lower() for name in header]
    for name in header:
        if lowered.count(name.lower()) > 1:
            same = [other for other in header if other.lower() == name.lower()]
            how = "twice" if len(set(same)) == 1 else "as " + " and ".join(f"'{other}'" for other in same)
            raise InputError(
                f"{file.shown}, line 1: the header names the column '{name}' {how}; columns need names of their own"
            )
    if set(wanted) <= set(header):
        return
    record = dialect.delimiter.join(header)
    for other in _DELIMITERS:
        if other != dialect.delimiter and set(wanted) <= set(next(csv.reader([record], delimiter=other), [])):
            raise _separated_by(other, file)


def _separated_by(delimiter: str, file: InputFile) -> InputError:
    name = _DELIMITERS[delimiter]
    return InputError(f"{file.shown}, line 1: the fields are separated by {name}; give --delimiter {name}")


def _check_same(file: InputFile, header: tuple[str, ...], first: InputFile, expected: tuple[str, ...]) -> None:
    if header == expected:
        return
    lacks = [name for name in expected if name not in header]
    more = [name for name in header if name not in expected]
    what = [f"it lacks {_quoted(lacks)}"] if lacks else []
    what += [f"it has {_quoted(more)} besides"] if more else []
    what = what or [f"its columns are in another order: {_quoted(header)}, not {_quoted(expected)}"]
    raise InputError(
        f"{file.shown}, line 1: the header differs from that of {first.shown}: {' and '.join(what)}; "
        "CSV files of one input must have the same columns in the same order"
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _is_suspicious(dialect: Dialect) -> Column:
    """Return the condition that no line of plain records fulfils; files with a line that does are read closely."""
    value = F.col("value")
    delimiter = re.escape(dialect.delimiter)
    # After doubled quotes and whole quoted fields are removed, a quote is left if a field spans lines or a quote is
    # stray.
    left = F.regexp_replace(F.replace(value, F.lit('""'), F.lit("")), f'(^|{delimiter})"[^"]*+"(?={delimiter}|$)', "$1")
    found = ~F.is_valid_utf8(value) | (F.contains(value, F.lit('"')) & F.contains(left, F.lit('"')))
    if dialect.line_end == "\n":
        return found | F.endswith(value, F.lit("\r"))
    return found | F.contains(value, F.lit("\0"))
