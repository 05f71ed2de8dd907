"""A place for rows: a folder, or a table of Spark's catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from spark_jobs.storage import Storage

_TABLE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}")
PARQUET = "parquet"


def is_table_name(text: str) -> bool:
    """Whether `text` reads as a table's name (``scores``, ``shop.scores``); a folder has a ``/`` in it."""
    return _TABLE_NAME.fullmatch(text) is not None


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

    def exists(self, spark: SparkSession) -> bool:
        """Whether there is something to read."""
        if self.named:
            return spark.catalog.tableExists(self.name)
        storage = Storage(spark)
        return storage.exists(self.name) and storage.first_file(self.name) is not None

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
        elif rows.sparkSession.catalog.tableExists(self.name):
            # By position, as SQL's INSERT does: saveAsTable would replace the whole table.
            order = [f"`{name}`" for name in rows.sparkSession.table(self.name).columns]
            rows.select(*order).write.mode(mode).insertInto(self.name, overwrite=mode == "overwrite")
        else:
            writer.partitionBy(*partition_by).saveAsTable(self.name)
