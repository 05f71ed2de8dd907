"""Publishing the labels of a run date: staged, checked, then put in place by one rename.

1. *Stage*: labelled rows are written to `_staging/run_date=…/<run id>/labels`, which readers never open. The folder is
   in the output, or in the folder of the labels if that is elsewhere, since a rename is atomic only within one file
   system. Each run has its own folder, so a suspended run whose lock was taken over cannot touch its successor's files.
2. *Check*: row counts and quality gates read the very files that will be published. Until the commit any error, such as
   a full disk, leaves the published labels as they were.
3. *Commit*: the folder is renamed to `labels/run_date=…`. An older partition is first renamed to
   `_staging/run_date=…/<run id>/replaced`: two renames, each of which is atomic. If a run is killed between the two,
   the next run of the date renames the older partition back.

Spark's dynamic partition overwrite also stages and renames, but it deletes the old partition first, file by file, and
commits before the files can be checked. It is used for all other formats, and for tables.

On an object store a rename copies file by file: use a table format there, such as Delta or Iceberg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.scoring.schema import OK
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.paths import literal, require_below
from spark_jobs.storage.run_ids import is_run_id
from spark_jobs.storage.tables import Table

PARTITIONS = ("run_date",)


class Publication:
    """Stages and commits the labels of one run for one date.

    Parameters
    ----------
    spark, filesystem
        The session, and its file system.
    labels
        The folder or table of the labels.
    staging
        Folder for staged labels of this date alone, `…/_staging/run_date=…`; on the file system of the labels.
    run_date
        The partition.
    run_id
        Names the run's own folder in `staging`.
    """

    def __init__(
        self,
        spark: SparkSession,
        filesystem: HadoopFileSystem,
        labels: Table,
        *,
        staging: str,
        run_date: date,
        run_id: str,
    ) -> None:
        self._spark = spark
        self._filesystem = filesystem
        self._labels = labels
        self._staging = staging
        self._root = staging.rsplit("/", 2)[0] or "/"
        self._staged = f"{staging}/{run_id}/labels"
        self._replaced = f"{staging}/{run_id}/replaced"
        self._run_date = run_date
        self._partition = f"{labels.name}/run_date={run_date}"

    @property
    def location(self) -> str:
        """The partition that is published, as messages name it."""
        return f"{self._labels.name} where run_date = {self._run_date}" if self._labels.named else self._partition

    def exists(self) -> bool:
        """Return whether something is published for the date; of a table, whether it exists."""
        if self._labels.plain_files:
            return self._filesystem.exists(self._partition)
        return self._labels.exists(self._spark, self._filesystem)

    def labelled_before(self) -> int | None:
        """Return the number of labelled rows that are published for the date; `None` if none are, or none can be read.

        A damaged partition must not keep a new run from replacing it; of its files, those that can be read count. Rows
        without a column `status`, which another program has written, count as labelled.
        """
        if not self.exists():
            return None
        try:
            if self._labels.plain_files:  # one folder, instead of listing all dates
                reader = self._spark.read.option("ignoreCorruptFiles", True)
                rows = reader.parquet(literal(self._partition))
            else:
                rows = self._labels.read(self._spark).where(F.col("run_date") == F.lit(self._run_date))
            is_labelled = F.col("status") == OK if "status" in rows.columns else F.lit(True)
            counted = rows.agg(F.count_if(is_labelled)).first()
        except (Py4JError, PySparkException):
            return None
        assert counted is not None
        return int(counted[0])

    def stage(self, labelled: DataFrame) -> DataFrame:
        """Write rows to the staging folder, and return them as read back from there, with `run_date`."""
        labelled.write.mode("overwrite").parquet(self._staged)
        return self._spark.read.parquet(literal(self._staged)).withColumn("run_date", F.lit(self._run_date))

    def commit(self, staged: DataFrame, check_lock: Callable[[], None]) -> None:
        """Publish the staged rows.

        Parameters
        ----------
        staged
            The rows that `stage` returned.
        check_lock
            Called just before the rename; raises if the run has lost its lock.
        """
        if not self._labels.plain_files:
            check_lock()
            self._labels.overwrite_partitions(staged, PARTITIONS)
            return
        old = self._filesystem.exists(self._partition)
        check_lock()
        if old:
            self._filesystem.rename(self._partition, self._replaced)
        self._filesystem.rename(self._staged, self._partition)

    def abandoned(self) -> list[str]:
        """Return the ids of the runs that have staged something for the date. The caller must hold the lock.

        Usually none: a run that is killed leaves a lease, which names it. A run that failed while it cleaned up leaves
        none.
        """
        return [name for name in self._filesystem.names(self._staging) if is_run_id(name)]

    def clean(self, run_ids: Iterable[str]) -> None:
        """Roll back interrupted commits of runs, then delete the runs' staging folders.

        A replaced partition whose successor was never moved in is restored. Called before a run, for the dead runs that
        it took over from, and after it.
        """
        for run_id in run_ids:
            folder = f"{self._staging}/{run_id}"
            require_below(folder, self._staging)
            require_below(f"{folder}/replaced", self._root)
            try:
                if self._filesystem.exists(f"{folder}/replaced") and not self._filesystem.exists(self._partition):
                    self._filesystem.rename(f"{folder}/replaced", self._partition)
                self._filesystem.delete(folder, below=self._root)
            except (Py4JError, OSError):
                # Spark's process is gone. A replaced partition stays where it is, for the next run to restore.
                self._filesystem.delete(f"{folder}/labels", below=self._root)
                self._filesystem.delete_if_empty(folder)
        self._filesystem.delete_if_empty(self._staging)
        self._filesystem.delete_if_empty(self._staging.rsplit("/", 1)[0])
