"""A place for rows: a folder, or a table of Spark's catalog."""

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
# Stands before Spark's own catalog and keeps its tables there.
_DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"

_FOLDER_FORMATS = frozenset({PARQUET, "avro", "csv", "delta", "json", "orc"})
"""Formats whose folders Spark overwrites partition by partition. Others, Iceberg among them, would be emptied first."""


def is_table_name(text: str) -> bool:
    """Whether `text` reads as a table's name (`scores`, `shop.scores`); a folder has a `/` in it."""
    return _TABLE_NAME.fullmatch(text) is not None


def _is_forgetful(spark: SparkSession, name: str) -> bool:
    """Whether a new table of that name would be known to this process alone."""
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
    """Whether Spark's catalog has a table or view of that name; also if it knows no catalog or schema of that name."""
    try:
        return spark.catalog.tableExists(name)
    except AnalysisException:
        return False


@dataclass(frozen=True)
class Table:
    """A folder or a named table, in any format that Spark knows.

    Attributes
    ----------
    name
        A path, or what `is_table_name` accepts.
    format
        Of the files of a folder, and of a table that has to be made.
    """

    name: str
    format: str = PARQUET

    @property
    def named(self) -> bool:
        """Whether it is a table of the catalog."""
        return is_table_name(self.name)

    @property
    def plain_files(self) -> bool:
        """Whether it is a folder of Parquet files: those we may add, rename and delete by ourselves."""
        return not self.named and self.format == PARQUET

    def exists(self, spark: SparkSession, filesystem: HadoopFileSystem) -> bool:
        """Whether there is something to read."""
        if self.named:
            return table_exists(spark, self.name)
        return filesystem.exists(self.name) and filesystem.first_file(self.name) is not None

    def require(
        self, spark: SparkSession, flag: str, columns: Sequence[str], partition_by: tuple[str, ...] | None = None
    ) -> None:
        """Make sure, before there is anything to lose, that rows can be written to a named table in the end.

        Parameters
        ----------
        spark
            The session.
        flag
            Where the name comes from, for messages.
        columns
            Of the rows.
        partition_by
            What the table must be partitioned by, neither more nor less, if its partitions are to be replaced: those
            that the rows touch are replaced whole.

        Raises
        ------
        UsageError
            If Spark does not know the format or the catalog; if the table has other columns or partitions; if it does
            not exist, and the catalog would have forgotten it
            when this process ends; or if it is a folder in a format that replaces only whole folders.
        """
        if not self.named:
            if self.format.lower() not in _FOLDER_FORMATS:
                raise UsageError(
                    f"{flag}: a folder of format {self.format} cannot have one night replaced; name a table of Spark's "
                    "catalog, such as lake.shop.labels"
                )
            self._require_format(spark)
            return
        if not table_exists(spark, self.name):
            self._require_format(spark)
            parts = self.name.split(".")
            if len(parts) == 3 and parts[0] != "spark_catalog" and not spark.conf.get(_CATALOG + parts[0], None):
                raise UsageError(f"{flag}: Spark has no catalog {parts[0]}; {_CATALOG}{parts[0]} would name it")
            if _is_forgetful(spark, self.name):
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
                f"{', '.join(partitions) or 'nothing'}: a night replaces every partition that it touches"
            )

    def _require_format(self, spark: SparkSession) -> None:
        if not has_format(spark, self.format):
            raise UsageError(f"--format: Spark does not know {self.format}; give spark-submit its package (--packages)")

    def read(self, spark: SparkSession) -> DataFrame:
        """Open it; it must exist."""
        return spark.table(self.name) if self.named else spark.read.format(self.format).load(self.name)

    def append(self, rows: DataFrame, partition_by: tuple[str, ...]) -> None:
        """Add rows in one commit of the format's own."""
        self._write(rows, "append", partition_by)

    def overwrite_partitions(self, rows: DataFrame, partition_by: tuple[str, ...]) -> None:
        """Replace the partitions that `rows` has, and no others, in one commit of the format's own."""
        self._write(rows, "overwrite", partition_by)

    def _write(self, rows: DataFrame, mode: str, partition_by: tuple[str, ...]) -> None:
        writer = rows.write.format(self.format).mode(mode).option("partitionOverwriteMode", "dynamic")
        if not self.named:
            writer.partitionBy(*partition_by).save(self.name)
        elif table_exists(rows.sparkSession, self.name):
            # By position, as SQL's INSERT does: saveAsTable would replace the whole table.
            order = [quoted(name) for name in rows.sparkSession.table(self.name).columns]
            rows.select(*order).write.mode(mode).insertInto(self.name, overwrite=mode == "overwrite")
        else:
            # Not to overwrite: a run of another date may have made the table in this moment, and would lose its night.
            writer.mode("append").partitionBy(*partition_by).saveAsTable(self.name)
