"""Finding the first line with an error in a CSV file, by RFC 4180.

Spark's parser is fast and lenient: it accepts the end of a file as the end of a quoted field, and its errors do not
name lines. So small files, and files with suspicious lines, are scanned here.

Beyond the RFC, a quote within an unquoted field is an ordinary character (`20" wheel`), as in most parsers. But a file
that also has quoted fields over several lines is refused: programs that write such fields also quote fields with quotes
in them, so one of the two is a stray quote that swallowed lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from spark_jobs.input.text_lines import LineError

_FIELD_BYTES = 1 << 20
_QUOTE = b'"'


def check_csv(lines: Iterable[tuple[int, bytes]], *, delimiter: bytes, line_end: bytes, fields: int) -> None:
    """Read all lines, including the header.

    Parameters
    ----------
    lines
        Line numbers and lines, as `spark_jobs.input.text_lines.lines_of` yields them.
    delimiter
        What separates fields, in UTF-8.
    line_end
        What separates lines.
    fields
        The number of fields that each record must have.

    Raises
    ------
    LineError
        For the first fault.
    """
    record = _Record(delimiter)
    bare = spanning = 0
    for number, line in lines:
        if line_end == b"\n" and line.endswith(b"\r") and not record.open_since:
            raise LineError(
                number, "it ends with CR LF, other lines with LF alone; convert the file to one kind of line end"
            )
        if line_end == b"\r\n" and b"\0" in line:
            raise LineError(number, "it holds a NUL byte, which cannot be read from a file whose lines end with CR LF")
        if _QUOTE not in line and not record.open_since:
            found, begun = (line.count(delimiter) + 1 if line else fields), number
        else:
            begun = record.begun or number
            found = record.add(number, line)
            bare = bare or record.bare
            if not found:
                continue
            spanning = spanning or (record.spans and begun)
        if found != fields:
            raise LineError(begun, f"it has {found} field{'s'[: found != 1]}, the header has {fields}")
        if bare and spanning:
            raise LineError(
                spanning,
                f"a quoted field begins here and ends in a later line, while line {bare} has a quote within an "
                "unquoted field; one of both is a stray quote. Write a field that holds a quote in quotes, and the "
                "quote twice",
            )
    if record.open_since:
        raise LineError(record.open_since, "a quoted field begins here and never ends; is this a stray quote?")


class _Record:
    """A record with quotes, read line by line."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._fields = self._size = 0
        self.open_since = 0
        self.begun = 0
        self.bare = 0
        self.spans = False

    def add(self, number: int, line: bytes) -> int:
        """Return the number of fields if the record ends with this line, else 0."""
        position = 0
        if not self.open_since:
            self.begun, self._fields, self.spans = number, 1, False
        else:
            self.spans = True
            self._size += len(line) + 1
            if self._size > _FIELD_BYTES:
                raise LineError(
                    self.open_since, "a quoted field begins here that is longer than 1 MiB; is this a stray quote?"
                )
        while True:
            if self.open_since:
                position = self._closing(number, line, position)
                if not position:
                    return 0
                if position == len(line):
                    return self._ended()
                self._fields += 1
                position += len(self._delimiter)
            if line.startswith(_QUOTE, position):
                self.open_since, self._size = number, 0
                position += 1
                continue
            end = line.find(self._delimiter, position)
            if line.find(_QUOTE, position, end if end >= 0 else len(line)) >= 0:
                self.bare = self.bare or number
            if end < 0:
                return self._ended()
            self._fields += 1
            position = end + len(self._delimiter)

    def _closing(self, number: int, line: bytes, position: int) -> int:
        """Return the position after the quote that closes the open field, 0 if it is not in this line."""
        while True:
            quote = line.find(_QUOTE, position)
            if quote < 0:
                return 0
            position = quote + 1
            if line.startswith(_QUOTE, position):
                position += 1
                continue
            if position < len(line) and not line.startswith(self._delimiter, position):
                raise LineError(
                    self.open_since, _after_quote(self.open_since, number, line[quote - 1 : quote] == b"\\")
                )
            self.open_since = 0
            return position

    def _ended(self) -> int:
        self.begun = 0
        return self._fields


def _after_quote(begun: int, number: int, backslash: bool) -> str:
    if begun != number:
        return (
            f"a quoted field begins here, and the quote that ends it, in line {number}, is followed by more text; is "
            "one of both a stray quote?"
        )
    how = ", not with a backslash" if backslash else ""
    return f"a quote that ends a field is followed by more text; within quotes a quote is written twice{how}"
