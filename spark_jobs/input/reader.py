"""Reading the input: Parquet, CSV with a header, JSON lines, or a table.

Errors in the input are found here, before anything is scored: `input_files` checks names and first bytes; `csv_input`,
`json_input` and `parquet_input` look for what Spark would alter, unite or drop in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType

from spark_jobs.errors import InputError
from spark_jobs.input.csv_input import CsvInput
from spark_jobs.input.input_files import InputFile, find_files
from spark_jobs.input.json_input import JsonInput
from spark_jobs.input.options import InputOptions
from spark_jobs.input.parquet_input import ParquetInput
from spark_jobs.input.text_encoding import Encoding
from spark_jobs.input.text_input import TextInput
from spark_jobs.scoring.schema import OUTPUT_COLUMNS
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.tables import is_table_name, table_exists


@dataclass(frozen=True)
class Input:
    """The input of a run.

    Attributes
    ----------
    frame
        All columns of the input.
    locate
        Raises an `InputError` that names file and line if a line has an error.
    """

    frame: DataFrame
    locate: Callable[[], None]

    def count(self) -> int:
        """Return the number of rows; this parses every line of text once.

        Raises
        ------
        InputError
            If a line cannot be parsed.
        """
        try:
            return self.frame.count()
        except (PySparkException, Py4JJavaError):
            self.locate()
            raise


def read_input(spark: SparkSession, filesystem: HadoopFileSystem, options: InputOptions) -> Input:
    """Return the input, after a check of its files and columns.

    Raises
    ------
    InputError
        If a path or table does not exist or has no rows; if a file has another format than its name says, is damaged,
        differs from the others, or has values that cannot be passed through unchanged; if a column is missing, is not
        a string, or has the name of a result.
    """
    if options.query_column == options.title_column:
        raise InputError(f"--query-column and --title-column both name the column '{options.query_column}'")
    opened, kind = _read(spark, filesystem, options)
    _check_columns(opened.frame, kind, options)
    _check_names(opened.frame)
    return opened


def read_judged(spark: SparkSession, filesystem: HadoopFileSystem, path: str) -> DataFrame:
    """Return a table of judged pairs with all its columns, of any format that the input may have.

    Raises
    ------
    InputError
        If it cannot be read, or lacks the columns `query` and `title`.
    """
    options = InputOptions([path])
    try:
        opened, kind = _read(spark, filesystem, options)
        _check_columns(opened.frame, kind, options)
        opened.count()
    except InputError as error:
        raise InputError(f"--judged: {error}") from None
    return opened.frame


def _read(spark: SparkSession, filesystem: HadoopFileSystem, options: InputOptions) -> tuple[Input, str]:
    """Return the input before its columns are checked, and its format."""
    paths = [path for path in options.paths if not _is_table(spark, filesystem, path)]
    tables = [spark.table(name) for name in options.paths if name not in paths]
    files = find_files(filesystem, paths, options.format) if paths else []
    opened, kind = _open(spark, filesystem, files, options) if files else (Input(tables.pop(0), lambda: None), "table")
    frame = opened.frame
    for table in tables:
        if _columns(table) != _columns(frame):
            raise InputError(f"the inputs {', '.join(options.paths)} have different columns, or columns of other types")
        frame = frame.unionByName(table)
    return Input(frame, opened.locate), kind


def _columns(frame: DataFrame) -> list[tuple[str, str]]:
    """Return names and types: a union would convert columns of other types, numbers to text for example."""
    return [(field.name, field.dataType.simpleString()) for field in frame.schema.fields]


def _is_table(spark: SparkSession, filesystem: HadoopFileSystem, name: str) -> bool:
    return is_table_name(name) and not filesystem.exists(name) and table_exists(spark, name)


def _open(
    spark: SparkSession, filesystem: HadoopFileSystem, files: list[InputFile], options: InputOptions
) -> tuple[Input, str]:
    kind = files[0].format
    texts = (options.query_column, options.title_column)
    if kind == "parquet":
        parquet = ParquetInput(spark, filesystem, files, texts)
        parquet.check()
        return Input(parquet.frame(), lambda: None), kind
    encoding = Encoding.of(spark, options.encoding)
    source: TextInput
    if kind == "csv":
        source = CsvInput(spark, filesystem, files, delimiter=options.delimiter, encoding=encoding, wanted=texts)
    else:
        source = JsonInput(spark, filesystem, files, encoding)
    source.check()
    try:
        return Input(source.frame(), source.locate), kind
    except (PySparkException, Py4JJavaError):
        source.locate()
        raise


def _check_columns(frame: DataFrame, kind: str, options: InputOptions) -> None:
    types = {field.name: field.dataType for field in frame.schema.fields}
    for flag, column in (("--query-column", options.query_column), ("--title-column", options.title_column)):
        if column not in types:
            found = ", ".join(f"'{name}' ({kind_.simpleString()})" for name, kind_ in types.items())
            hint = (
                "; the first line of a CSV file must name its columns, --delimiter separates them"
                if kind == "csv"
                else ""
            )
            raise InputError(f"the input has no column '{column}' ({flag}), it has {found}{hint}")
        if not isinstance(types[column], StringType):
            raise InputError(f"column '{column}' is {types[column].simpleString()}, expected string ({flag})")


def _check_names(frame: DataFrame) -> None:
    for name in frame.columns:
        if name.lower() in OUTPUT_COLUMNS:
            raise InputError(f"column '{name}' of the input has the name of a result column; rename it in the input")
