"""Looking for the line at fault in a CSV file, by RFC 4180.

Spark's parser is fast and forgiving: it takes the end of a file for the end of a quoted field, and its errors do not
name lines. So this scan judges files that are small, and those in which something is suspicious.

Beyond the RFC a quote within an unquoted field is a character like any other (`20" wheel`), as everywhere. But not in
a file that has quoted fields over several lines besides: whoever writes those also quotes fields that hold quotes, so
one of both is a stray quote that swallowed lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from spark_jobs.input.text_lines import Fault

_FIELD_BYTES = 1 << 20
_QUOTE = b'"'


def check_csv(lines: Iterable[tuple[int, bytes]], *, delimiter: bytes, line_end: bytes, fields: int) -> None:
    """Read all lines, the header's too.

    Parameters
    ----------
    lines
        Their numbers and texts, as `spark_jobs.input.text_lines.lines_of` gives them.
    delimiter
        Between fields, in UTF-8.
    line_end
        What `lines` were cut by.
    fields
        What each record must have.

    Raises
    ------
    Fault
        For the first fault.
    """
    record = _Record(delimiter)
    bare = spanning = 0
    for number, line in lines:
        if line_end == b"\n" and line.endswith(b"\r") and not record.open_since:
            raise Fault(
                number, "it ends with CR LF, other lines with LF alone; convert the file to one kind of line end"
            )
        if line_end == b"\r\n" and b"\0" in line:
            raise Fault(number, "it holds a NUL byte, which cannot be read from a file whose lines end with CR LF")
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
            raise Fault(begun, f"it has {found} field{'s'[: found != 1]}, the header has {fields}")
        if bare and spanning:
            raise Fault(
                spanning,
                f"a quoted field begins here and ends in a later line, while line {bare} has a quote within an "
                "unquoted field; one of both is a stray quote. Write a field that holds a quote in quotes, and the "
                "quote twice",
            )
    if record.open_since:
        raise Fault(record.open_since, "a quoted field begins here and never ends; is this a stray quote?")


class _Record:
    """A record that has quotes, line by line."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._fields = self._size = 0
        self.open_since = 0
        self.begun = 0
        self.bare = 0
        self.spans = False

    def add(self, number: int, line: bytes) -> int:
        """Return the record's number of fields if it ends with this line, else 0."""
        position = 0
        if not self.open_since:
            self.begun, self._fields, self.spans = number, 1, False
        else:
            self.spans = True
            self._size += len(line) + 1
            if self._size > _FIELD_BYTES:
                raise Fault(
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
                raise Fault(self.open_since, _after_quote(self.open_since, number, line[quote - 1 : quote] == b"\\"))
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
