"""Opening a list of files as one DataFrame: literal names, and the columns that their folders' names give."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructType

from spark_jobs.errors import InputError
from spark_jobs.input.input_files import InputFile
from spark_jobs.scoring.schema import OUTPUT_COLUMNS


def path_options(files: Sequence[InputFile]) -> dict[str, str]:
    """Return the options with which Spark reads exactly `files`."""
    # Globs were resolved: brackets and braces are literal.
    options = {"__globPaths__": "false"}
    if any(file.path.startswith("file:") and ":" in file.path.rsplit("/", 1)[-1] for file in files):
        # Hadoop's class for local files looks for a checksum file `.NAME.crc`, and refuses that name if it has a colon.
        options |= {"fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem", "fs.file.impl.disable.cache": "true"}
    return options


def load_files(
    spark: SparkSession, files: Sequence[InputFile], kind: str, schema: StructType, options: dict[str, str]
) -> DataFrame:
    """Open files of one format, with the columns that the names of their folders give, as strings.

    Spark would read `sku=007` as a number.
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
    """Refuse folders whose names give a column that the files have too: Spark would use the folder's value.

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
