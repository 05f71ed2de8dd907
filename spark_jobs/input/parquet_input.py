"""Parquet files: their footers are compared, and files with different columns are united by name.

Spark reads the schema of one file for all, and returns null for columns that others have under another name or type.
Here files are grouped by their columns; each group is read by its own schema.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StructField, StructType

from spark_jobs.columns import column
from spark_jobs.errors import InputError
from spark_jobs.input.file_formats import COMPRESSION_MARKS, Files
from spark_jobs.input.file_loading import check_partition_names, load_files, path_options
from spark_jobs.input.input_files import InputFile
from spark_jobs.input.parquet_int96 import finer_than_microseconds, schema_for_spark
from spark_jobs.input.parquet_types import ambiguous_field, is_nanoseconds, readable_instead, type_name
from spark_jobs.spark_compat import has_java_class
from spark_jobs.storage.paths import without_file_scheme

log = logging.getLogger(__name__)

_READERS = 8
# Classes that Spark loads for codecs that it does not include.
_CODECS = {
    "BROTLI": "org.apache.hadoop.io.compress.BrotliCodec",
    "LZO": "com.hadoop.compression.lzo.LzoCodec",
}


@dataclass(frozen=True)
class _Footer:
    file: InputFile
    schema: pa.Schema
    codecs: frozenset[str]
    finer: str | None


class ParquetInput:
    """The Parquet files of an input.

    Parameters
    ----------
    spark, files
        The session, and its file system.
    inputs
        What `find_files` returned.
    texts
        The two columns that every file must have.

    Raises
    ------
    InputError
        If a file is damaged, encrypted or compressed with a codec that Spark lacks; if a column is there twice, is
        spelled differently in upper and lower case, or has different types; if a text column is not in every file.
    """

    def __init__(self, spark: SparkSession, files: Files, inputs: Sequence[InputFile], texts: tuple[str, str]) -> None:
        self._spark = spark
        with ThreadPoolExecutor(_READERS) as readers:
            self._footers = list(readers.map(lambda file: _footer(files, file), inputs))
        self._check_codecs()
        for footer in self._footers:
            _check_names(footer)
        self._check_across(texts)
        check_partition_names(inputs, self._footers[0].schema.names)

    def check(self) -> None:
        """Make sure that timestamps in nanoseconds are whole microseconds, Spark's unit.

        Raises
        ------
        InputError
            Naming file and column.
        """
        for footer in self._footers:
            if footer.finer is not None:
                raise _finer_than_microseconds(footer.finer, footer.file.shown)
        for schema, files in self._alike():
            names = [field.name for field in schema if is_nanoseconds(field.type)]
            if not names:
                continue
            rows = self._open(schema, files)
            for name in names:
                finer = rows.where(column(rows, name) % 1000 != 0).select(F.input_file_name()).head()
                if finer is not None:
                    raise _finer_than_microseconds(name, without_file_scheme(unquote(finer[0])))
            log.info("timestamps in nanoseconds are kept in microseconds", extra={"columns": names})

    def frame(self) -> DataFrame:
        """Return the rows: the union of the files' columns, by name."""
        frame: DataFrame | None = None
        for schema, files in self._alike():
            rows = self._open(schema, files)
            kept = [
                _microseconds(rows, field)
                for field in schema
                if not pa.types.is_null(field.type) or not self._typed(field.name)
            ]
            kept += [column(rows, name) for name in files[0].partitions]
            part = rows.select(*kept) if len(kept) < len(rows.columns) or _has_nanoseconds(schema) else rows
            frame = part if frame is None else frame.unionByName(part, allowMissingColumns=True)
        assert frame is not None, "there are files"
        return frame

    def _typed(self, name: str) -> bool:
        """Return whether a file has a type for a column that is all null in others."""
        return any(
            name in footer.schema.names and not pa.types.is_null(footer.schema.field(name).type)
            for footer in self._footers
        )

    def _alike(self) -> list[tuple[pa.Schema, list[InputFile]]]:
        """Return the files grouped by their columns, in whatever order those are."""
        groups: dict[tuple[tuple[str, str], ...], tuple[pa.Schema, list[InputFile]]] = {}
        for footer in self._footers:
            kind = tuple(sorted((field.name, type_name(field.type)) for field in footer.schema))
            groups.setdefault(kind, (footer.schema, []))[1].append(footer.file)
        return list(groups.values())

    def _open(self, schema: pa.Schema, files: list[InputFile]) -> DataFrame:
        options = path_options(files)
        for field in schema:
            if (instead := readable_instead(field.type)) is not None:
                raise InputError(
                    f"column '{field.name}' of {files[0].shown} is {field.type}, which Spark cannot read; write it as "
                    f"{instead}, or leave it out"
                )
        found = self._spark.read.options(**options).parquet(files[0].path).schema
        return load_files(self._spark, files, "parquet", _nullable(found), {})

    def _check_codecs(self) -> None:
        used = frozenset[str]().union(*(footer.codecs for footer in self._footers))
        missing = {codec for codec in used & _CODECS.keys() if not has_java_class(self._spark, _CODECS[codec])}
        for footer in self._footers:
            for codec in footer.codecs & missing:
                raise InputError(
                    f"cannot read {footer.file.shown}: its columns are compressed with {codec}, which this Spark "
                    "lacks; write it with snappy or zstd"
                )

    def _check_across(self, texts: tuple[str, str]) -> None:
        seen: dict[str, tuple[pa.Field, InputFile]] = {}
        for footer in self._footers:
            for field in footer.schema:
                other, file = seen.setdefault(field.name.lower(), (field, footer.file))
                if other.name != field.name:
                    raise InputError(
                        f"the column '{field.name}' of {footer.file.shown} is '{other.name}' in {file.shown}; Spark "
                        "does not tell upper from lower case, so write one of both"
                    )
                if pa.types.is_null(other.type):
                    seen[field.name.lower()] = (field, footer.file)
                elif not pa.types.is_null(field.type) and type_name(other.type) != type_name(field.type):
                    raise InputError(
                        f"column '{field.name}' of {footer.file.shown} is {type_name(field.type)}, but in "
                        f"{file.shown} it is {type_name(other.type)}; write both with one type"
                    )
        for footer in self._footers:
            partial = [name for name, (field, _) in seen.items() if field.name not in footer.schema.names]
            for name in texts:
                if name.lower() in partial:
                    has = seen[name.lower()][1]
                    found = ", ".join(f"'{other}'" for other in footer.schema.names)
                    raise InputError(
                        f"{footer.file.shown} has no column '{name}', which {has.shown} has; its columns are {found}"
                    )
            if partial:
                log.warning(
                    "a file lacks columns that others have; they are null for its rows",
                    extra={"file": footer.file.shown, "columns": [seen[name][0].name for name in partial]},
                )


def _footer(files: Files, file: InputFile) -> _Footer:
    with files.open(file.path) as stream:
        start = stream.read(4)
        stream.seek(max(0, file.size - 4))
        end = stream.read(4)
        if b"PARE" in (start, end):
            raise InputError(f"cannot read {file.shown}: it is encrypted; write it without encryption")
        for kind, mark in COMPRESSION_MARKS.items():
            if start.startswith(mark):
                raise InputError(f"cannot read {file.shown}: it is a file compressed with {kind}; decompress it")
        if start != b"PAR1":
            raise InputError(f"cannot read {file.shown}: it is not a Parquet file; it does not begin with PAR1")
        if end != b"PAR1":
            raise InputError(f"cannot read {file.shown}: it is a Parquet file whose end is missing; copy it again")
        stream.seek(0)
        try:
            schema, metadata = schema_for_spark(stream), pq.read_metadata(stream)
            finer = finer_than_microseconds(stream)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"cannot read {file.shown}: its Parquet footer is damaged ({_first_line(error)})"
            ) from None
        codecs = frozenset(
            metadata.row_group(group).column(column).compression
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        )
    return _Footer(file, schema, codecs, finer)


def _finer_than_microseconds(column: str, file: str) -> InputError:
    return InputError(
        f"column '{column}' of {file} has timestamps finer than a microsecond, which Spark cannot hold; round them, "
        "for example by df.to_parquet(…, coerce_timestamps='us', allow_truncated_timestamps=True)"
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _check_names(footer: _Footer) -> None:
    names: dict[str, str] = {}
    for name in footer.schema.names:
        if (other := names.setdefault(name.lower(), name)) != name:
            raise InputError(
                f"{footer.file.shown} has the columns '{other}' and '{name}'; Spark does not tell upper from lower "
                "case, so rename one"
            )
    for name in footer.schema.names:
        if footer.schema.names.count(name) > 1:
            raise InputError(f"{footer.file.shown} has the column '{name}' twice; rename one")
    for field in footer.schema:
        if (twice := ambiguous_field(field.type)) is not None:
            raise InputError(
                f"column '{field.name}' of {footer.file.shown} has the field '{twice}' twice, which Spark cannot read "
                "(it does not tell upper from lower case); rename one"
            )


def _has_nanoseconds(schema: pa.Schema) -> bool:
    return any(is_nanoseconds(field.type) for field in schema)


def _microseconds(rows: DataFrame, field: pa.Field) -> Column:
    """Return a column; nanoseconds become a timestamp."""
    values = column(rows, field.name)
    if not is_nanoseconds(field.type):
        return values
    instant = F.timestamp_micros(F.call_function("div", values, F.lit(1000)))
    return (instant if field.type.tz else instant.cast("timestamp_ntz")).alias(field.name)


def _nullable(schema: StructType) -> StructType:
    return StructType([StructField(field.name, field.dataType) for field in schema])
