"""What CSV and JSON lines have in common: a text file's beginning, its faults, and Spark's look at all lines."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StringType, StructType

from spark_jobs.errors import InputError
from spark_jobs.input.input_files import DECOMPRESSION_ERRORS, HEAD_BYTES, Files, InputFile, open_text
from spark_jobs.input.text_lines import Fault, lines_of
from spark_jobs.scoring.schema import OUTPUT_COLUMNS
from spark_jobs.spark_compat import java_charset

SCANNED_BYTES = 8 << 20
"""Files that together are no larger are read whole by the driver, which costs less than a Spark job."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
Lines = Iterable[tuple[int, bytes]]
"""Numbers and texts of lines."""

_NEEDS_MARK = frozenset({"utf-16", "utf-32"})


@dataclass(frozen=True)
class Encoding:
    """A text encoding, as Python and as Java name it."""

    python: str
    java: str

    @classmethod
    def of(cls, spark: SparkSession, name: str) -> Encoding:
        """Look a name up.

        Raises
        ------
        InputError
            If Python or Java does not know it.
        """
        try:
            # A byte order mark is taken away from whatever begins with one.
            python = codecs.lookup(name).name.removesuffix("-sig")
            b"".decode(python)
        except LookupError:
            raise InputError(f"--encoding: unknown encoding '{name}'; try UTF-8, UTF-16 or windows-1252") from None
        for java in (name.removesuffix("-sig"), python):
            legal = all(letter.isalnum() or letter in "-+.:_" for letter in java)
            if legal and (found := java_charset(spark, java)) is not None:
                return cls(python, found)
        raise InputError(f"--encoding: Spark's Java does not know the encoding '{name}'")

    @property
    def utf8(self) -> bool:
        """Whether it is UTF-8."""
        return self.python == "utf-8"


def head_of(files: Files, file: InputFile, encoding: Encoding) -> str:
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
            name = "UTF-16LE" if odd > even else "UTF-16BE"
            raise InputError(f"cannot read {file.shown}: it seems to be {name} text; give --encoding {name}")
    decoder = codecs.getincrementaldecoder(encoding.python)("strict")
    try:
        text = decoder.decode(head, final=False)
    except UnicodeDecodeError as error:
        # The scan says in which line.
        text = error.object[: error.start].decode(encoding.python, "ignore")
    return text.removeprefix("\ufeff")


def raise_fault(
    files: Files, file: InputFile, encoding: Encoding, line_end: str, check: Callable[[Lines], None]
) -> None:
    """Read a file on the driver until the first fault, and raise it as a sentence that names file and line."""
    with open_text(files, file) as stream:
        try:
            check(lines_of(stream, encoding.python, line_end.encode(), file.compression))
        except Fault as fault:
            raise InputError(fault.about(file.shown)) from None


def suspicious_files(
    spark: SparkSession, files: Sequence[InputFile], line_end: str | None, suspicious: Column
) -> list[InputFile]:
    """Return the files in which a line is `suspicious`, a condition on `value`; one cheap pass in Spark.

    Spark's text source gives lines as the bytes that they are.
    """
    options = {**path_options(files), **({"lineSep": line_end} if line_end else {})}
    lines = spark.read.options(**options).text([file.path for file in files])
    found = lines.where(suspicious).select(F.col("_metadata.file_path")).distinct().collect()
    names = {_plain(unquote(row[0])) for row in found}
    known = {_plain(file.path): file for file in files}
    # A name that Spark writes in a way of its own: all are looked at.
    return [known[name] for name in names] if names <= known.keys() else list(files)


def _plain(path: str) -> str:
    scheme, separator, rest = path.partition(":")
    return f"{scheme}{separator}/{rest.lstrip('/')}"


def path_options(files: Sequence[InputFile]) -> dict[str, str]:
    """Return the options with which Spark takes `files` as they are named, and nothing else."""
    # Names were resolved: brackets and braces in them are literal.
    options = {"__globPaths__": "false"}
    if any(file.path.startswith("file:") and ":" in file.path.rsplit("/", 1)[-1] for file in files):
        # Hadoop's own class for local files looks for a checksum in `.NAME.crc`, a name that it refuses if it has a
        # colon.
        options |= {"fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem", "fs.file.impl.disable.cache": "true"}
    return options


def load(
    spark: SparkSession, files: Sequence[InputFile], kind: str, schema: StructType, options: dict[str, str]
) -> DataFrame:
    """Open files of one format, with the columns that their folders' names give, as strings.

    Spark would make numbers of `sku=007`.
    """
    frame: DataFrame | None = None
    roots: dict[str, list[InputFile]] = {}
    for file in files:
        roots.setdefault(file.root if file.partitions else "", []).append(file)
    for root, below in roots.items():
        whole = StructType(list(schema))
        for name in below[0].partitions:
            whole = whole.add(name, StringType())
        reader = spark.read.format(kind).schema(whole).options(**{**options, **path_options(below)})
        if root:
            reader = reader.option("basePath", root)
        part = reader.load([file.path for file in below])
        frame = part if frame is None else frame.unionByName(part)
    assert frame is not None, "there are files"
    return frame


def check_partition_names(files: Sequence[InputFile], columns: Sequence[str]) -> None:
    """Refuse folders whose names give a column that the files have themselves: Spark would take the folder's value.

    Raises
    ------
    InputError
        Naming file and column.
    """
    lowered = {name.lower() for name in columns}
    for file in files:
        for name in file.partitions:
            if name.lower() in OUTPUT_COLUMNS:
                raise InputError(
                    f"a folder above {file.shown} is named {name}=…, which gives the rows a column with the name of a "
                    "result; give that folder, or a glob of such folders, as the input"
                )
            if name.lower() in lowered:
                raise InputError(
                    f"{file.shown} has a column '{name}', and a folder above it is named {name}=…, which gives "
                    "another; rename one"
                )
