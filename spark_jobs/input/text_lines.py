"""The lines of a text file, decoded strictly and numbered, and the error that names a line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from spark_jobs.input.compression import DECOMPRESSION_ERRORS

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LineError(Exception):
    """An error in a text file.

    Attributes
    ----------
    line
        Line number from 1; 0 if the error concerns the whole file.
    sentence
        The text of the message after the file's name and the line.
    """

    line: int
    sentence: str

    def about(self, file: str) -> str:
        """Return the message with the name of the file."""
        return (
            f"cannot read {file}, line {self.line}: {self.sentence}"
            if self.line
            else f"cannot read {file}: {self.sentence}"
        )


def lines_of(stream: IO[bytes], encoding: str, line_end: bytes, compression: str) -> Iterator[tuple[int, bytes]]:
    """Yield each line's number and its text in UTF-8 without `line_end`.

    Parameters
    ----------
    stream
        Decompressed bytes.
    encoding
        As Python names it.
    line_end
        What ends a line, in UTF-8.
    compression
        Name of the compression, for messages.

    Raises
    ------
    LineError
        If bytes are not valid in the encoding, or compressed data are cut off or damaged.
    """
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    rest, number, first = b"", 1, True
    while True:
        try:
            chunk = stream.read(_CHUNK_BYTES)
        except DECOMPRESSION_ERRORS as error:
            if not compression:
                raise
            raise LineError(0, f"its {compression} data are cut off or damaged ({error})") from None
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(encoding, "ignore").encode()
            line = number + (rest + good).count(line_end)
            raise LineError(line, _not_valid(encoding, error)) from None
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        parts = (rest + text.encode()).split(line_end)
        rest = parts.pop()
        for part in parts:
            yield number, part
            # In a file whose lines end with CR LF a quoted field may contain a lone LF, which editors count.
            number += 1 + (part.count(b"\n") if line_end == b"\r\n" else 0)
        if not chunk:
            if rest:
                yield number, rest
            return


def _not_valid(encoding: str, error: UnicodeDecodeError) -> str:
    found = error.object[error.start : error.start + 1].hex()
    if encoding == "utf-8":
        return (
            f"byte 0x{found} is not valid UTF-8; if the file has another encoding, give it, for example "
            "--encoding windows-1252"
        )
    return f"byte 0x{found} is not valid in {encoding} (--encoding)"
