"""One model's scores in a folder of Parquet files, the layout of the default store.

Layout::

    STORE/keys=sha256/model_name=student/model_version=1.0.0-<SHA-256>/batch=<id of the run that wrote it>/….parquet

The outermost folder names how the keys are made, so that scores under another kind of keys are never read. Model and
version are folders, so that reading the scores of one model never opens those of another. The version includes the
first 128 bits of the bundle's SHA-256: a bundle that was changed without a new version is scored again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StringType, StructField, StructType

from grpc_client import ModelInfo
from spark_jobs.scoring.schema import RESULT_SPARK, SETTLED
from spark_jobs.spark_compat import partition_folder
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.pair_keys import KEY_SCHEME, KEY_TYPES, KEYS, TITLE_KEY
from spark_jobs.storage.paths import literal

MODEL_COLUMNS = ("model_name", "model_version")
RESULT_FIELDS = [field for field in RESULT_SPARK if field.name not in MODEL_COLUMNS]
ROW = StructType(
    [
        *(StructField(name, KEY_TYPES[name]) for name in KEYS),
        *RESULT_FIELDS,
        StructField("run_id", StringType()),
    ]
)
"""A row of the store. A table also has `model_name` and `model_version`; a Parquet folder has these and `batch`."""

STORE_COLUMNS = (*ROW.names, *MODEL_COLUMNS)
"""The columns of a store that is a table."""

_ROWS_PER_FILE = 4_000_000
# 128 bits in hex. With 48 bits, two bundles that share their scores could be made on purpose.
_DIGEST_DIGITS = 32
_KEYS_FOLDER = f"keys={KEY_SCHEME}"
_COMMIT_BY_TASK = ("mapreduce.fileoutputcommitter.algorithm.version", "2")


@dataclass(frozen=True)
class ModelKey:
    """A model as the partitions of the store name it."""

    name: str
    version: str

    @classmethod
    def of(cls, info: ModelInfo) -> ModelKey:
        """Return the key of the served model."""
        digest = info.sha256[:_DIGEST_DIGITS]
        return cls(info.ref.name, f"{info.ref.version}-{digest}" if digest else info.ref.version)


class ParquetScores:
    """One model's scores in a folder of Parquet files.

    Parameters
    ----------
    spark, filesystem
        The session, and its file system.
    root
        The folder; it need not exist.
    model
        Whose scores.
    """

    def __init__(self, spark: SparkSession, filesystem: HadoopFileSystem, root: str, model: ModelKey) -> None:
        self._spark = spark
        self._filesystem = filesystem
        names = [
            partition_folder(spark, *item) for item in zip(MODEL_COLUMNS, (model.name, model.version), strict=True)
        ]
        self.folder = "/".join([root, _KEYS_FOLDER, *names])

    def batches(self) -> list[str]:
        """Return the ids of the batches: of runs that have committed scores, and of compactions."""
        names = self._filesystem.names(self.folder)
        return [name.removeprefix("batch=") for name in names if name.startswith("batch=")]

    def batch(self, batch: str) -> str:
        """Return the folder of one batch."""
        return f"{self.folder}/batch={batch}"

    def read(self) -> DataFrame | None:
        """Return the rows of all batches; `None` if there are none."""
        while folders := [self.batch(batch) for batch in self.batches()]:
            try:
                return self._spark.read.schema(ROW).parquet(*map(literal, folders))
            except AnalysisException:
                # A run of another date that fails deletes its folder if it is empty.
                if all(map(self._filesystem.exists, folders)):
                    raise
        return None

    def append(self, rows: DataFrame, batch: str) -> None:
        """Add rows; each task commits its own when it ends."""
        rows.select(*ROW.names).write.mode("append").option(*_COMMIT_BY_TASK).parquet(self.batch(batch))

    def set_aside(self, name: str) -> str | None:
        """Rename a damaged file so that it is hidden and no longer read, and return its path; `None` if there is none.

        Only names that the folders list are touched, whatever `name` is.
        """
        for batch in self.batches():
            folder = self.batch(batch)
            if name in self._filesystem.names(folder):
                self._filesystem.rename(f"{folder}/{name}", f"{folder}/_damaged-{name}")
                return f"{folder}/{name}"
        return None

    def compact(self, batch: str) -> None:
        """Rewrite all batches as one, with each settled pair once.

        Every run adds a file per task, and opening thousands of small files costs more than reading them. The new batch
        is complete before its folder is renamed into place, and the old ones are deleted after that. If the process is
        killed in between, the folder holds pairs twice; readers handle that, and the next compaction removes them.
        """
        old, rows = self.batches(), self.read()
        if rows is None:
            return
        files = max(1, rows.count() // _ROWS_PER_FILE)
        draft = f"{self.folder}/_compacting"
        # By title and sorted, as runs write them: equal keys are adjacent, which Parquet compresses well.
        rows = latest(rows.where(is_settled())).repartition(files, TITLE_KEY).sortWithinPartitions(*KEYS)
        rows.select(*ROW.names).write.mode("overwrite").parquet(draft)
        self._filesystem.rename(draft, self.batch(batch))
        for name in old:
            self._filesystem.delete(self.batch(name), below=self.folder)


def discard_unfinished(filesystem: HadoopFileSystem, root: str, run_ids: Iterable[str]) -> None:
    """Delete unfinished files of ended runs' tasks, for all models, and the folders that are empty afterwards."""
    batches = {f"batch={run_id}" for run_id in run_ids}
    for model in folders_in(filesystem, f"{root}/{_KEYS_FOLDER}", "model_name="):
        for version in folders_in(filesystem, model, "model_version="):
            if not (begun := batches.intersection(filesystem.names(version))):
                continue
            for batch in begun:
                filesystem.delete(f"{version}/{batch}/_temporary", below=root)
                filesystem.delete_if_empty(f"{version}/{batch}")
            filesystem.delete_if_empty(version)
            filesystem.delete_if_empty(model)
    filesystem.delete_if_empty(f"{root}/{_KEYS_FOLDER}")


def folders_in(filesystem: HadoopFileSystem, folder: str, prefix: str) -> list[str]:
    """Return the paths in a folder whose names begin with `prefix`."""
    return [f"{folder}/{name}" for name in filesystem.names(folder) if name.startswith(prefix)]


def latest(rows: DataFrame) -> DataFrame:
    """Return one row for each pair: a settled one if there is one, and the newest of those."""
    others = [name for name in rows.columns if name not in KEYS]
    order = (is_settled().alias("settled"), F.col("scored_at").alias("at"))
    latest = rows.groupBy(*KEYS).agg(F.max(F.struct(*order, *others)).alias("latest"))
    return latest.select(*KEYS, *(F.col(f"latest.{name}") for name in others))


def is_settled() -> Column:
    """Return the condition that holds for settled rows."""
    return F.col("status").isin(*SETTLED)
