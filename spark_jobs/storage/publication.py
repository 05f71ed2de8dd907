"""Publishing a night: written aside, looked at, then put in place in one step.

Labelled rows are written to `_staging/run_date=…/<run id>/labels`, which readers never open: in the output, or in the
folder of the labels if that is elsewhere, since only within one file system a rename is one step. Each run has a folder
of its own, so that one which was taken for dead, and goes on, cannot touch what its successor does. What goes wrong
until then, a full disk for example, leaves the labels as they were; and whoever judges the night (row counts, quality
gates) judges the very files that will be published. Then the folder is renamed to `labels/run_date=…`. A night that
is published again is moved aside first: two renames, each of which a file system does as one step. A run killed between
the two is mended by the next one of its date, which finds the old folder aside and none in place.

Spark's dynamic partition overwrite also writes aside and renames, but it deletes the old partition first, file by file,
and commits before anybody could look. It is what commits here for every other format, and for tables.

On an object store a rename copies file by file: use a table format there, such as Delta or Iceberg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.scoring.schema import OK
from spark_jobs.storage.filesystem import HadoopFileSystem, literal, require_below
from spark_jobs.storage.tables import Table

PARTITIONS = ("run_date",)


class Publication:
    """One run's labels of a date on their way.

    Parameters
    ----------
    spark, filesystem
        The session, and its file system.
    labels
        Where they go.
    staging
        Folder for what is under way, for this date alone; on the file system of the labels.
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
        self._staged = f"{staging}/{run_id}/labels"
        self._replaced = f"{staging}/{run_id}/replaced"
        self._run_date = run_date
        self._partition = f"{labels.name}/run_date={run_date}"

    @property
    def location(self) -> str:
        """Where the partition is, or will be."""
        return f"{self._labels.name} where run_date = {self._run_date}" if self._labels.named else self._partition

    def labelled_before(self) -> int | None:
        """Count the labelled rows that are published for the date; `None` if there are none, or they cannot be read.

        What is published and damaged must not keep a new attempt from replacing it.
        """
        plain = self._labels.plain_files
        if not (
            self._filesystem.exists(self._partition) if plain else self._labels.exists(self._spark, self._filesystem)
        ):
            return None
        try:
            if plain:  # one folder, not a listing of every night
                rows = self._spark.read.parquet(literal(self._partition))
            else:
                rows = self._labels.read(self._spark).where(F.col("run_date") == F.lit(self._run_date))
            counted = rows.agg(F.count("*"), F.count_if(F.col("status") == OK)).first()
        except (Py4JError, PySparkException):
            return None
        assert counted is not None
        return int(counted[1]) if counted[0] else None

    def stage(self, labelled: DataFrame) -> DataFrame:
        """Write rows aside, in place of what was there, and give them as they were written, with `run_date`."""
        labelled.write.mode("overwrite").parquet(self._staged)
        return self._spark.read.parquet(literal(self._staged)).withColumn("run_date", F.lit(self._run_date))

    def commit(self, staged: DataFrame, check_lock: Callable[[], None]) -> None:
        """Put what `stage` wrote in its place.

        Parameters
        ----------
        staged
            What `stage` gave.
        check_lock
            Called just before; raises if the run has lost its right to publish.
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

    def clean(self, run_ids: Iterable[str]) -> None:
        """Put back what runs had moved aside without putting something in its place, and delete what they have aside.

        Called before a run, for what dead ones left, and after it.
        """
        for run_id in run_ids:
            folder = f"{self._staging}/{run_id}"
            require_below(folder, self._staging)
            try:
                if self._filesystem.exists(f"{folder}/replaced") and not self._filesystem.exists(self._partition):
                    self._filesystem.rename(f"{folder}/replaced", self._partition)
                self._filesystem.delete(folder, below=self._staging)
            except (Py4JError, OSError):
                # Spark's process is gone. What may be somebody's published night stays where it is, for the next run.
                self._filesystem.delete(f"{folder}/labels", below=self._staging)
                self._filesystem.delete_if_empty(folder)
        self._filesystem.delete_if_empty(self._staging)
        self._filesystem.delete_if_empty(self._staging.rsplit("/", 1)[0])
