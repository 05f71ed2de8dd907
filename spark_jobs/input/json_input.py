"""JSON lines: one object a line."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StringType, StructField, StructType

from spark_jobs.columns import unused_names
from spark_jobs.errors import InputError
from spark_jobs.input import text_input
from spark_jobs.input.input_files import Files, InputFile
from spark_jobs.input.json_scan import check_json
from spark_jobs.input.text_input import Encoding

# Valid JSON has no control characters but blanks and line ends.
_NEVER_IN_JSON = "\x01"
_OPTIONS = {"mode": "FAILFAST", "allowSingleQuotes": "false"}


class JsonInput:
    """The files of JSON lines of an input.

    Parameters
    ----------
    spark, files
        Where and which.
    inputs
        Of `find_files`.
    encoding
        Of all files.

    Raises
    ------
    InputError
        If a file is not text.
    """

    def __init__(self, spark: SparkSession, files: Files, inputs: Sequence[InputFile], encoding: Encoding) -> None:
        self._spark = spark
        self._files = files
        self._encoding = encoding
        self._inputs = [file for file in inputs if text_input.head_of(files, file, encoding).strip()]
        if not self._inputs:
            raise InputError(f"the input {inputs[0].shown} has no rows")

    def check(self) -> None:
        """Look for what Spark would read in silence, but not as it was meant.

        Raises
        ------
        InputError
            Naming file and line.
        """
        if not self._encoding.utf8 or sum(file.size for file in self._inputs) <= text_input.SCANNED_BYTES:
            self.locate()
            return
        for file in text_input.suspicious_files(self._spark, self._inputs, None, _suspicious()):
            self._look(file)

    def locate(self) -> None:
        """Raise the sentence about the first line at fault in any file, having read all on the driver until there."""
        for file in self._inputs:
            self._look(file)

    def frame(self) -> DataFrame:
        """Open the files; finding out the types of the columns reads all of them."""
        options = {**_OPTIONS, "columnNameOfCorruptRecord": unused_names([], ["corrupt"])["corrupt"]}
        if not self._encoding.utf8:
            return self._spark.read.options(**options).json(self._lines())
        reader = self._spark.read.format("json").options(**options, **text_input.path_options(self._inputs))
        schema = reader.load([file.path for file in self._inputs]).schema
        text_input.check_partition_names(self._inputs, schema.names)
        return text_input.load(self._spark, self._inputs, "json", schema, options)

    def _lines(self) -> DataFrame:
        """Return the lines as one column: Spark's JSON source splits no lines in UTF-16, its CSV source does."""
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
        return text_input.load(
            self._spark, self._inputs, "csv", StructType([StructField("value", StringType())]), options
        )

    def _look(self, file: InputFile) -> None:
        text_input.raise_fault(self._files, file, self._encoding, "\n", check_json)


def _suspicious() -> Column:
    """Return the condition that lines of plain objects never fulfil; a few others do, and are looked at closely."""
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
        | (value.rlike(r"(?i)\\ud") & pairs_left_out.rlike(r"(?i)\\ud[89a-f]"))
    )
