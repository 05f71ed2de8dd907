"""The encoding of text files, checked against the beginning of each file."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest

from pyspark.sql import SparkSession

from spark_jobs.errors import InputError
from spark_jobs.input.compression import DECOMPRESSION_ERRORS, open_text
from spark_jobs.input.file_formats import Files
from spark_jobs.input.input_files import InputFile
from spark_jobs.spark_compat import java_charset, jvm

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
# Names that Java has for what Python calls otherwise.
_JAVA_NAMES = {
    "cp932": "windows-31j",
    "cp949": "x-windows-949",
    "cp950": "x-windows-950",
    "utf-16-le": "UTF-16LE",
    "utf-16-be": "UTF-16BE",
    "utf-32-le": "UTF-32LE",
    "utf-32-be": "UTF-32BE",
}
_NEEDS_MARK = frozenset({"utf-16", "utf-32"})

HEAD_BYTES = 1 << 20
"""The bytes of a text file in which its header must end."""


@dataclass(frozen=True)
class Encoding:
    """A text encoding, as Python and as Java name it."""

    python: str
    java: str
    unlike: frozenset[str] = frozenset()
    """Characters that Java reads differently; a line that has one is refused."""

    @classmethod
    def of(cls, spark: SparkSession, name: str) -> Encoding:
        """Return an encoding by its name.

        Raises
        ------
        InputError
            If Python or Java lacks it.
        """
        try:
            # A byte order mark is always removed.
            python = codecs.lookup(name).name.removesuffix("-sig")
            b"".decode(python)
        except LookupError:
            raise InputError(f"--encoding: unknown encoding '{name}'; try UTF-8, UTF-16 or windows-1252") from None
        names = (name.removesuffix("-sig"), _JAVA_NAMES.get(python, python), re.sub("[-_]", "", python))
        legal = [java for java in names if re.fullmatch(r"[\w.:+-]+", java, re.ASCII)]
        known = {found: None for java in legal if (found := java_charset(spark, java)) is not None}
        if not known:
            raise InputError(f"--encoding: Spark's Java does not know the encoding '{name}'")
        if python.startswith("utf-"):
            return cls(python, next(iter(known)))
        return min((cls(python, java, _unlike(spark, python, java)) for java in known), key=lambda one: len(one.unlike))

    @property
    def utf8(self) -> bool:
        """Whether it is UTF-8."""
        return self.python == "utf-8"


def _unlike(spark: SparkSession, python: str, java: str) -> frozenset[str]:
    """Return the characters whose bytes Java reads as others than Python does."""
    encoded: dict[str, bytes] = {}
    for number in range(0x80, 0xFFFF):
        with suppress(UnicodeError):
            data = chr(number).encode(python)
            encoded[data.decode(python)] = data
    joined = "\n".encode(python).join(encoded.values())
    read = str(jvm(spark).java.lang.String(bytearray(joined), java)).split("\n")
    return frozenset(ours for ours, theirs in zip_longest(encoded, read) if ours is not None and ours != theirs)


def read_head(files: Files, file: InputFile, encoding: Encoding) -> str:
    """Return the first characters of a text file, at most `HEAD_BYTES` of it, without a byte order mark.

    Raises
    ------
    InputError
        If it is not text in that encoding.
    """
    with open_text(files, file) as stream:
        try:
            head = stream.read(HEAD_BYTES)
        except DECOMPRESSION_ERRORS as error:
            if not file.compression:
                raise
            raise InputError(
                f"cannot read {file.shown}: its {file.compression} data are cut off or damaged ({error})"
            ) from None
    if head[257:262] == b"ustar":
        raise InputError(f"cannot read {file.shown}: it is a tar archive; unpack it")
    mark = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), None)
    if mark is not None and encoding.utf8:
        raise InputError(f"cannot read {file.shown}: it is {mark} text; give --encoding {mark}")
    if mark is None and encoding.python in _NEEDS_MARK:
        raise InputError(
            f"cannot read {file.shown}: it has no byte order mark, which would say in which order its bytes are; give "
            f"--encoding {encoding.java}LE or {encoding.java}BE"
        )
    other_end = {"utf-16-le": codecs.BOM_UTF16_BE, "utf-16-be": codecs.BOM_UTF16_LE}.get(encoding.python)
    if other_end is not None and head.startswith(other_end):
        raise InputError(
            f"cannot read {file.shown}: its byte order mark is not that of {encoding.java}; give --encoding UTF-16"
        )
    if encoding.utf8 and len(head) >= 4 and mark is None:
        odd, even = head[1:200:2].count(0), head[0:200:2].count(0)
        if max(odd, even) * 2 > len(head[1:200:2]):
            bits = 32 if min(odd, even) * 3 > max(odd, even) else 16
            name = f"UTF-{bits}{'BE' if head[0] == 0 else 'LE'}"
            raise InputError(f"cannot read {file.shown}: it seems to be {name} text; give --encoding {name}")
    decoder = codecs.getincrementaldecoder(encoding.python)("strict")
    try:
        text = decoder.decode(head, final=False)
    except UnicodeDecodeError as error:
        # The scan of the lines names the line.
        text = error.object[: error.start].decode(encoding.python, "ignore")
    return text.removeprefix("\ufeff")
