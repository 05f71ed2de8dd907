"""Tables of rows: a folder of files, or a table of Spark's catalog."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from spark_jobs.columns import quoted
from spark_jobs.errors import UsageError
from spark_jobs.spark_compat import has_format
from spark_jobs.storage.filesystem import HadoopFileSystem

_TABLE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}")
PARQUET = "parquet"
_CATALOG = "spark.sql.catalog."
# Wraps Spark's own catalog and keeps its tables there.
_DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"

_FOLDER_FORMATS = frozenset({PARQUET, "avro", "csv", "delta", "json", "orc"})
"""Formats in whose folders Spark overwrites single partitions. Others, such as Iceberg, would be emptied first."""


def is_table_name(text: str) -> bool:
    """Return whether `text` is a table's name; a folder has a `/` in it.

    Examples
    --------
    >>> is_table_name("shop.scores"), is_table_name("out/scores")
    (True, False)
    """
    return _TABLE_NAME.fullmatch(text) is not None


def _is_temporary(spark: SparkSession, name: str) -> bool:
    """Return whether a new table of that name would end with this process: its catalog is in memory."""
    first, *rest = name.split(".")
    if len(rest) == 2 or (rest and spark.conf.get(f"spark.sql.catalog.{first}", None)):
        catalog = first
    else:
        catalog = spark.catalog.currentCatalog()
    in_memory = spark.conf.get("spark.sql.catalogImplementation", "in-memory") == "in-memory"
    implementation = spark.conf.get(_CATALOG + catalog, None)
    return catalog == "spark_catalog" and in_memory and implementation in (None, _DELTA_CATALOG)


def _partitions(spark: SparkSession, name: str) -> tuple[str, ...]:
    """Return what a table is partitioned by: columns, or transforms such as `months(run_date)`."""
    found: list[str] = []
    section = ""
    for row in spark.sql(f"DESCRIBE TABLE {name}").collect():
        if row.col_name.startswith("# ") or not row.col_name:
            section = row.col_name if row.col_name != "# col_name" else section
        elif section == "# Partition Information":
            found.append(row.col_name)
        elif section == "# Partitioning":  # "Part 0", and the transform
            found.append(row.data_type)
    return tuple(found)


def table_exists(spark: SparkSession, name: str) -> bool:
    """Return whether there is a table or view of that name; `False` too if its catalog or schema is unknown."""
    try:
        return spark.catalog.tableExists(name)
    except AnalysisException:
        return False


@dataclass(frozen=True)
class Table:
    """A folder or a table of the catalog, in any format that Spark has.

    Attributes
    ----------
    name
        A path, or a name that `is_table_name` accepts.
    format
        Format of the files of a folder, and of a table that has to be made.
    """

    name: str
    format: str = PARQUET

    @property
    def named(self) -> bool:
        """Whether this is a table of the catalog."""
        return is_table_name(self.name)

    @property
    def plain_files(self) -> bool:
        """Whether this is a folder of Parquet files, whose files a run adds, renames and deletes itself."""
        return not self.named and self.format == PARQUET

    def exists(self, spark: SparkSession, filesystem: HadoopFileSystem) -> bool:
        """Return whether there are rows to read."""
        if self.named:
            return table_exists(spark, self.name)
        return filesystem.exists(self.name) and filesystem.first_file(self.name) is not None

    def require(
        self, spark: SparkSession, flag: str, columns: Sequence[str], partition_by: tuple[str, ...] | None = None
    ) -> None:
        """Make sure, before anything is scored, that rows can be written to this table.

        Parameters
        ----------
        spark
            The session.
        flag
            The flag that named the table, for messages.
        columns
            The columns of the rows.
        partition_by
            The columns that the table must be partitioned by, if its partitions are to be replaced: each partition
            that a row belongs to is replaced whole.

        Raises
        ------
        UsageError
            If Spark lacks the format or the catalog; if the table has other columns or partitions; if it does not
            exist and its catalog is in memory; or if it is a folder in a format that replaces only whole folders.
        """
        if not self.named:
            if self.format.lower() not in _FOLDER_FORMATS:
                raise UsageError(
                    f"{flag}: a folder of format {self.format} cannot have one run date replaced; name a table of "
                    "Spark's catalog, such as lake.shop.labels"
                )
            self._require_format(spark)
            return
        if not table_exists(spark, self.name):
            self._require_format(spark)
            parts = self.name.split(".")
            if len(parts) == 3 and parts[0] != "spark_catalog" and not spark.conf.get(_CATALOG + parts[0], None):
                raise UsageError(f"{flag}: Spark has no catalog {parts[0]}; {_CATALOG}{parts[0]} would name it")
            if _is_temporary(spark, self.name):
                raise UsageError(
                    f"{flag}: there is no table {self.name}, and Spark's catalog would forget it at the end of this "
                    "run; name a folder (with a / in it), or give Spark a catalog that lasts"
                )
            return
        found = {name.lower() for name in spark.table(self.name).columns}
        wanted = {name.lower() for name in columns}
        if wanted - found or found - wanted:
            lacks, more = (", ".join(sorted(names)) or "none" for names in (wanted - found, found - wanted))
            raise UsageError(f"{flag}: the columns of table {self.name} are others; missing: {lacks}; unknown: {more}")
        if partition_by is not None and (partitions := _partitions(spark, self.name)) != partition_by:
            raise UsageError(
                f"{flag}: table {self.name} must be partitioned by {', '.join(partition_by)} alone, not by "
                f"{', '.join(partitions) or 'nothing'}: a run replaces every partition that its rows belong to"
            )

    def _require_format(self, spark: SparkSession) -> None:
        if not has_format(spark, self.format):
            raise UsageError(f"--format: Spark does not know {self.format}; give spark-submit its package (--packages)")

    def read(self, spark: SparkSession) -> DataFrame:
        """Return its rows; it must exist."""
        return spark.table(self.name) if self.named else spark.read.format(self.format).load(self.name)

    def append(self, rows: DataFrame, partition_by: tuple[str, ...]) -> None:
        """Add rows in one commit of the format."""
        self._write(rows, "append", partition_by)

    def overwrite_partitions(self, rows: DataFrame, partition_by: tuple[str, ...]) -> None:
        """Replace the partitions that `rows` has, and no others, in one commit of the format."""
        self._write(rows, "overwrite", partition_by)

    def _write(self, rows: DataFrame, mode: str, partition_by: tuple[str, ...]) -> None:
        writer = rows.write.format(self.format).mode(mode).option("partitionOverwriteMode", "dynamic")
        if not self.named:
            writer.partitionBy(*partition_by).save(self.name)
        elif table_exists(rows.sparkSession, self.name):
            # insertInto goes by position, as SQL's INSERT does. saveAsTable would replace the whole table.
            order = [quoted(name) for name in rows.sparkSession.table(self.name).columns]
            rows.select(*order).write.mode(mode).insertInto(self.name, overwrite=mode == "overwrite")
        else:
            # Not overwrite: a run of another date may have made the table a moment ago, and would lose its labels.
            writer.mode("append").partitionBy(*partition_by).saveAsTable(self.name)
