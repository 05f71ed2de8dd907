"""JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import ArrayType, DataType, DoubleType, StringType, StructField, StructType

from spark_jobs.columns import unused_names
from spark_jobs.errors import InputError
from spark_jobs.input.file_formats import Files
from spark_jobs.input.file_loading import check_partition_names, load_files, path_options
from spark_jobs.input.input_files import InputFile
from spark_jobs.input.json_scan import ONE_CASE, KeyPath, Keys, check_json
from spark_jobs.input.text_encoding import Encoding, read_head
from spark_jobs.input.text_input import Lines, TextInput

# Valid JSON contains no control characters except white space.
_NEVER_IN_JSON = "\x01"
_CASE_SENSITIVE = "spark.sql.caseSensitive"
_OPTIONS = {"mode": "FAILFAST", "allowSingleQuotes": "false"}


class JsonInput(TextInput):
    """The JSON lines files of an input.

    Parameters
    ----------
    spark, files
        The session, and its file system.
    inputs
        What `find_files` returned.
    encoding
        Encoding of all files.

    Raises
    ------
    InputError
        If a file is not text.
    """

    def __init__(self, spark: SparkSession, files: Files, inputs: Sequence[InputFile], encoding: Encoding) -> None:
        filled = [file for file in inputs if read_head(files, file, encoding).strip()]
        if not filled:
            raise InputError(f"the input {inputs[0].shown} has no rows")
        super().__init__(spark, files, filled, encoding)
        self._keys: dict[str, tuple[InputFile, Keys]] = {}

    def frame(self) -> DataFrame:
        """Return the rows; to infer the types of the columns, Spark reads all files.

        Raises
        ------
        InputError
            If the columns that Spark infers would alter or leave out a value.
        """
        options = {**_OPTIONS, "columnNameOfCorruptRecord": unused_names([], ["corrupt"])["corrupt"]}
        if not self._encoding.utf8:
            return self._checked(lambda: self._spark.read.options(**options).json(self._lines()))
        reader = self._spark.read.format("json").options(**options, **path_options(self._inputs))
        schema = self._checked(lambda: reader.load([file.path for file in self._inputs])).schema
        check_partition_names(self._inputs, schema.names)
        return load_files(self._spark, self._inputs, "json", schema, options)

    def _checked(self, infer: Callable[[], DataFrame]) -> DataFrame:
        """Compare the columns that Spark infers with the keys and integers of the files."""
        before = self._spark.conf.get(_CASE_SENSITIVE) or "false"
        # Otherwise Spark keeps one spelling of a nested key and drops the values of the others.
        self._spark.conf.set(_CASE_SENSITIVE, "true")
        try:
            frame = infer()
        finally:
            self._spark.conf.set(_CASE_SENSITIVE, before)
        types: dict[KeyPath, DataType] = {(): frame.schema, **dict(_types(frame.schema))}
        self._check_case(types)
        if DoubleType() in types.values() and (unread := self._unread()):
            for file in self._files_with(F.col("value").rlike(r"\d{16}"), unread):
                self._look(file)
        for file, keys in self._keys.values():
            for path, line in keys.lines.items():
                if path not in types and isinstance(types.get(path[:-1]), StructType):
                    raise InputError(
                        f"cannot read {file.shown}, line {line}: the key '{path[-1]}' has nothing but empty objects, "
                        "which cannot be a column; leave it out"
                    )
            for path, (line, digits) in keys.integers.items():
                if types.get(path) == DoubleType():
                    raise InputError(
                        f"cannot read {file.shown}, line {line}: the integer {digits[:40]} of '{path[-1]}' would be "
                        "rounded, since that column also has fractions or integers of more than 38 digits; write it "
                        "in quotes"
                    )
        return frame

    def _check_case(self, types: Iterable[KeyPath]) -> None:
        spelled: dict[KeyPath, KeyPath] = {}
        for path in types:
            if (other := spelled.setdefault(tuple(name.lower() for name in path), path)) == path:
                continue
            for file in self._unread():
                self._look(file)
            for file, keys in self._keys.values():
                if (line := keys.lines.get(path)) is not None:
                    raise InputError(
                        f"cannot read {file.shown}, line {line}: the key '{path[-1]}' is '{other[-1]}' elsewhere; "
                        f"{ONE_CASE}"
                    )

    def _unread(self) -> list[InputFile]:
        return [file for file in self._inputs if file.path not in self._keys]

    def _lines(self) -> DataFrame:
        """Return the lines as one column: only Spark's CSV source splits lines in UTF-16, its JSON source does not."""
        if (file := next((file for file in self._inputs if file.partitions), None)) is not None:
            raise InputError(
                f"{file.shown}: JSON in folders named {file.partitions[0]}=… is read only in UTF-8, not with --encoding"
            )
        options = {
            "sep": _NEVER_IN_JSON,
            "quote": "",
            "escape": "",
            "multiLine": "true",
            "encoding": self._encoding.java,
        }
        return load_files(self._spark, self._inputs, "csv", StructType([StructField("value", StringType())]), options)

    def _suspicious(self) -> list[InputFile]:
        return self._files_with(_is_suspicious())

    def _look(self, file: InputFile) -> None:
        def check(lines: Lines) -> None:
            self._keys[file.path] = file, check_json(lines)

        self._raise_line_error(file, "\n", check)


def _types(kind: DataType, path: KeyPath = ()) -> Iterator[tuple[KeyPath, DataType]]:
    """Yield the type of each key at any depth; of a list, that of its elements."""
    if isinstance(kind, StructType):
        for field in kind.fields:
            inner = field.dataType
            while isinstance(inner, ArrayType):
                inner = inner.elementType
            yield (*path, field.name), inner
            yield from _types(inner, (*path, field.name))


def _is_suspicious() -> Column:
    """Return the condition that no line of plain objects fulfils; files with a line that does are read closely."""
    value = F.col("value")

    def count(brace: str) -> Column:
        return F.octet_length(value) - F.octet_length(F.replace(value, F.lit(brace), F.lit("")))

    line = F.rtrim(value)
    pairs_left_out = F.regexp_replace(value, r"(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", "")
    return (
        ~F.is_valid_utf8(value)
        | ((line != "") & ~F.endswith(line, F.lit("}")))
        | (count("{") != count("}"))
        | value.rlike(r"\}\s*\{")
        | F.contains(value, F.lit('"":'))
        | value.rlike(r":\s*\[?\s*\{\s*\}|(?i)[0-9]e\+?[0-9]{3}")
        | (value.rlike(r"(?i)\\ud") & pairs_left_out.rlike(r"(?i)\\ud[89a-f]"))
    )
