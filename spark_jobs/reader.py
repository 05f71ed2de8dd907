"""Reading the night's input: Parquet, CSV with a header, JSON lines, or a table."""

from __future__ import annotations

from pathlib import PurePosixPath

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType

from spark_jobs.errors import InputError
from spark_jobs.schema import OUTPUT_COLUMNS
from spark_jobs.settings import LabelSettings
from spark_jobs.storage import Storage
from spark_jobs.tables import is_table_name, table_exists

_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
_COMPRESSIONS = frozenset({".gz", ".bz2", ".zst", ".snappy", ".lz4", ".deflate"})

_OPTIONS = {
    "parquet": {},
    "csv": {
        "header": "true",
        "mode": "FAILFAST",
        # RFC 4180: a quote in a quoted field is doubled, and a quoted field may go on in the next line.
        "escape": '"',
        "multiLine": "true",
        # Every file's header must fit, and every line is checked whole, not only the columns that a query needs.
        "enforceSchema": "false",
        "columnPruning": "false",
    },
    "json": {"mode": "FAILFAST"},
}


def read_input(spark: SparkSession, storage: Storage, settings: LabelSettings) -> DataFrame:
    """Open the input and check its columns; only what is needed to learn the schema is read.

    Returns
    -------
    DataFrame
        All columns of the input.

    Raises
    ------
    InputError
        If a path or table does not exist or holds no files, or a column is missing, not a string, or has the name of a
        result.
    """
    paths = [path for path in settings.input if not _is_table(spark, storage, path)]
    tables = [spark.table(name) for name in settings.input if name not in paths]
    frame, kind = _read_files(spark, storage, paths, settings) if paths else (tables.pop(0), "table")
    for table in tables:
        if table.schema.names != frame.schema.names:
            raise InputError(f"the inputs {', '.join(settings.input)} have different columns")
        frame = frame.unionByName(table)
    _check_columns(frame, kind, settings)
    return frame


def _is_table(spark: SparkSession, storage: Storage, name: str) -> bool:
    return is_table_name(name) and not storage.exists(name) and table_exists(spark, name)


def _read_files(
    spark: SparkSession, storage: Storage, paths: list[str], settings: LabelSettings
) -> tuple[DataFrame, str]:
    kind: str | None = settings.input_format if settings.input_format != "auto" else None
    for path in paths:
        found = storage.matches(path)
        if not found:
            raise InputError(f"input {path} does not exist")
        file = next(filter(None, map(storage.first_file, found)), None)
        if file is None:
            raise InputError(f"input {path} holds no files")
        kind = kind or _format_of(file)
    assert kind is not None
    source = spark.read.format(kind).options(**_OPTIONS[kind])
    try:
        frame = source.load(paths)
    except (PySparkException, Py4JJavaError):
        if kind == "json":
            # Finding out the schema of JSON reads all of it, but the error does not say which file it was about.
            # Reading with a schema does.
            source.schema("_ string").load(paths).write.format("noop").mode("overwrite").save()
        raise
    if not frame.columns:
        raise InputError(f"the input {', '.join(paths)} has no rows")
    return frame, kind


def _format_of(file: str) -> str:
    suffixes = [suffix for suffix in PurePosixPath(file).suffixes if suffix not in _COMPRESSIONS]
    kind = _FORMATS.get(suffixes[-1].lower()) if suffixes else None
    if kind is None:
        raise InputError(f"cannot tell the format of {file} by its name; give --input-format parquet, csv or json")
    return kind


def _check_columns(frame: DataFrame, kind: str, settings: LabelSettings) -> None:
    types = {field.name: field.dataType for field in frame.schema.fields}
    if settings.query_column == settings.title_column:
        raise InputError(f"--query-column and --title-column both name the column '{settings.query_column}'")
    for flag, column in (("--query-column", settings.query_column), ("--title-column", settings.title_column)):
        if column not in types:
            found = ", ".join(f"{name} ({kind_.simpleString()})" for name, kind_ in types.items())
            hint = "; the first line of a CSV file must name its columns" if kind == "csv" else ""
            raise InputError(f"the input has no column '{column}' ({flag}), it has {found}{hint}")
        if not isinstance(types[column], StringType):
            raise InputError(f"column '{column}' is {types[column].simpleString()}, expected string ({flag})")
    for name in types:
        if name.lower() in OUTPUT_COLUMNS:
            raise InputError(f"column '{name}' of the input has the name of a result column; rename it in the input")
