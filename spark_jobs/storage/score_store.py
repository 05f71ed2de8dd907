"""The score store: every pair that was ever scored, once per model; and the checkpoint of a run that is under way.

Layout of the default store, a folder of Parquet files::

    STORE/keys=sha256/model_name=student/model_version=1.0.0-<SHA-256>/batch=<id of the run that wrote it>/….parquet

A pair is known by its two keys alone: its texts would cost a tenth of what Spark costs while it scores, and what people
searched for would lie in one more place. How the keys are made is the outermost folder, so that scores under keys of
another kind are never read; `ScoreStore` says so if there are any.

Model and version are folders, so that reading one model's scores never opens another's. The version has the bundle's
SHA-256 with it, its first 128 bits: a bundle that was changed under its old version scores again.

**Why there is no log of what was done.** Scores are facts about pairs, so a store is a set: adding half of a run's
scores does no harm, and what is there need not be done again. Scoring is therefore one Spark job, whose tasks each
commit their own file by Hadoop's committer, algorithm 2 (a task's commit renames its file into place; algorithm 1 keeps
all of them back until the job ends). A run that is killed anywhere loses the tasks that ran, `scoring_partitions`
bounds how much that is, and its rerun finds the rest by one anti-join that it needs anyway. A retried task writes a
file of the same name, so it replaces its own. Structured Streaming (AvailableNow) would need the distinct new pairs as
files first, written and read once more, and a log that knows offsets but not pairs; cutting the job into many, each
committed as a whole, leaves cores idle at the end of each.

**Other formats and tables** (Delta, Iceberg, ORC, a catalog's table) commit whole jobs. There, the run's scores wait in
a Parquet folder of the run's date, a store of the layout above, and are added to the table in one commit at the end,
less the pairs that it has.

**What is known.** Rows with status `OK` and `INVALID_ARGUMENT` are settled: the same model would say the same
again, on any server. Rows with any other status (`FAILED`) are published by their own run, and tried again by the
next. What a server's setting refuses is never here: texts over the limit that the run began with do not travel, and a
row that one server refuses by a lower limit of its own is `FAILED`.

**Twice the same pair** can only come from two runs that score at the same time, for two dates or two outputs. A reader
sees that its rows became more (`spark_jobs.storage.publication` counts them) and reads again with `unique=True`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StringType, StructField, StructType

from grpc_client import ModelInfo
from spark_jobs.errors import UsageError
from spark_jobs.scoring.schema import RESULT_SPARK, SETTLED
from spark_jobs.spark_compat import partition_folder
from spark_jobs.storage.filesystem import HadoopFileSystem, literal
from spark_jobs.storage.pair_keys import KEY_SCHEME, KEY_TYPES, KEYS, TITLE_KEY
from spark_jobs.storage.tables import Table

log = logging.getLogger("spark_jobs")

_MODEL = ("model_name", "model_version")
_RESULTS = [field for field in RESULT_SPARK if field.name not in _MODEL]
ROW = StructType(
    [
        *(StructField(name, KEY_TYPES[name]) for name in KEYS),
        *_RESULTS,
        StructField("run_id", StringType()),
    ]
)
"""A row of the store; a table has `model_name` and `model_version` besides, a Parquet folder them and `batch`."""

STORE_COLUMNS = (*ROW.names, *_MODEL)
"""Columns of a store that is a table."""

_ROWS_PER_FILE = 4_000_000
# 128 bits in hex: with 48, somebody who makes bundles could make two that share their scores.
_DIGEST_DIGITS = 32
_KEYS_FOLDER = f"keys={KEY_SCHEME}"
_COMMIT_BY_TASK = ("mapreduce.fileoutputcommitter.algorithm.version", "2")


@dataclass(frozen=True)
class ModelKey:
    """The model whose scores a store is asked for, as its partitions are named."""

    name: str
    version: str

    @classmethod
    def of(cls, info: ModelInfo) -> ModelKey:
        """Name the served model."""
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
        names = [partition_folder(spark, *item) for item in zip(_MODEL, (model.name, model.version), strict=True)]
        self.folder = "/".join([root, _KEYS_FOLDER, *names])

    def batches(self) -> list[str]:
        """List the ids of the runs that have committed something here, and of compactions."""
        names = self._filesystem.names(self.folder)
        return [name.removeprefix("batch=") for name in names if name.startswith("batch=")]

    def batch(self, batch: str) -> str:
        """Return the folder of one batch."""
        return f"{self.folder}/batch={batch}"

    def read(self) -> DataFrame | None:
        """Open all batches; `None` if there are none."""
        folders = [literal(self.batch(batch)) for batch in self.batches()]
        return self._spark.read.schema(ROW).parquet(*folders) if folders else None

    def append(self, rows: DataFrame, batch: str) -> None:
        """Add rows; each task's are there for good as soon as it has ended."""
        rows.select(*ROW.names).write.mode("append").option(*_COMMIT_BY_TASK).parquet(self.batch(batch))

    def set_aside(self, name: str) -> str | None:
        """Return a file of that name another, hidden one: nothing of it is read any more. `None` if there is none.

        Only names that the folders themselves list are touched, whatever `name` says.
        """
        for batch in self.batches():
            folder = self.batch(batch)
            if name in self._filesystem.names(folder):
                self._filesystem.rename(f"{folder}/{name}", f"{folder}/_damaged-{name}")
                return f"{folder}/{name}"
        return None

    def compact(self, batch: str) -> None:
        """Rewrite all batches as one, each settled pair once.

        Every run adds a file per task; the opening of thousands of small ones costs more than their reading. The new
        batch is complete before its folder gets its name, and the old ones are deleted after that: killed in between,
        the folder holds pairs twice, which readers notice and the next compaction mends.
        """
        old, rows = self.batches(), self.read()
        if rows is None:
            return
        files = max(1, rows.count() // _ROWS_PER_FILE)
        draft = f"{self.folder}/_compacting"
        # By title and sorted, as runs write them: equal titles lie side by side, which Parquet folds.
        rows = _latest(rows.where(_settled())).repartition(files, TITLE_KEY).sortWithinPartitions(*KEYS)
        rows.select(*ROW.names).write.mode("overwrite").parquet(draft)
        self._filesystem.rename(draft, self.batch(batch))
        for name in old:
            self._filesystem.delete(self.batch(name), below=self.folder)


class ScoreStore:
    """One model's scores, as one run uses them.

    Parameters
    ----------
    spark, filesystem
        The session, and its file system.
    table
        The store.
    pending_dir
        Folder for the scores of the run's date until they are added to a store that is not plain Parquet files; nobody
        else may use it at the time.
    info
        The served model.
    run_id
        The run.
    """

    def __init__(
        self,
        spark: SparkSession,
        filesystem: HadoopFileSystem,
        table: Table,
        *,
        pending_dir: str,
        info: ModelInfo,
        run_id: str,
    ) -> None:
        self._spark = spark
        self._filesystem = filesystem
        self._run_id = run_id
        self._model = ModelKey.of(info)
        self._table = None if table.plain_files else table
        self._files = ParquetScores(spark, filesystem, batches_root(table, pending_dir), self._model)

    def known(self) -> DataFrame | None:
        """Return the keys of the pairs that need not be scored; `None` if there are none."""
        rows = self._rows()
        return None if rows is None else rows.where(_settled()).select(*KEYS)

    def append(self, rows: DataFrame) -> DataFrame:
        """Add rows of `ROW`, but for `run_id`, and give what the run has added."""
        self._files.append(rows.withColumn("run_id", F.lit(self._run_id)), self._run_id)
        return self._spark.read.schema(ROW).parquet(literal(self._files.batch(self._run_id)))

    def scores(self, *, unique: bool = False) -> DataFrame:
        """Return keys and results of all settled pairs, and of those that failed in this run.

        Parameters
        ----------
        unique
            Make sure that no pair comes twice; costs 1.3 µs of CPU a row.
        """
        rows = self._rows()
        assert rows is not None, "a run adds its batch before it reads"
        names = [*KEYS, *(field.name for field in _RESULTS)]
        rows = rows.where(_settled() | (F.col("run_id") == self._run_id)).select(*names)
        return _latest(rows) if unique else rows

    def count(self, rows: DataFrame) -> tuple[int, int]:
        """Count rows that `append` gave, and those of them that are not settled."""
        counted = rows.agg(F.count("*"), F.count_if(~_settled())).first()
        assert counted is not None
        return int(counted[0]), int(counted[1])

    def finish(self) -> None:
        """Hand over to a store that is not plain Parquet files what waits for it; a second call finds nothing to do."""
        batches = self._files.batches()
        waiting = self._files.read() if self._table is not None else None
        if self._table is None or waiting is None:
            return
        rows = waiting.where(_settled()).withColumns(
            {name: F.lit(value) for name, value in zip(_MODEL, (self._model.name, self._model.version), strict=True)}
        )
        # A run that died between the commit and the deletion has added them already.
        if (there := self._in_table()) is not None:
            rows = rows.join(there.select(*KEYS), list(KEYS), "left_anti")
        self._table.append(rows.select(*STORE_COLUMNS), _MODEL)
        for batch in batches:
            self._filesystem.delete(self._files.batch(batch), below=self._files.folder)
        # Upwards: version, model, keys, date, and the folder of all dates. Other models' scores wait for their own.
        folder = self._files.folder
        for _ in range(5):
            self._filesystem.delete_if_empty(folder)
            folder = folder.rsplit("/", 1)[0]

    def set_aside(self, name: str) -> str | None:
        """Take a damaged file out of the model's Parquet files; its pairs are new again. `None` if it is not theirs."""
        return self._files.set_aside(name)

    def compact(self) -> None:
        """Make few files of a Parquet folder's many; nobody else may use it at the time."""
        if self._table is None:
            self._files.compact(f"{self._run_id}-compact")

    def _rows(self) -> DataFrame | None:
        parts = [rows for rows in (self._files.read(), self._in_table()) if rows is not None]
        return parts[0].unionByName(parts[1]) if len(parts) == 2 else next(iter(parts), None)

    def _in_table(self) -> DataFrame | None:
        if self._table is None or not self._table.exists(self._spark, self._filesystem):
            return None
        rows = self._table.read(self._spark)
        of_model = (F.col("model_name") == self._model.name) & (F.col("model_version") == self._model.version)
        return rows.where(of_model).select(*ROW.names)


def batches_root(table: Table, pending_dir: str) -> str:
    """Return the folder that runs write their batches into."""
    return table.name if table.plain_files else pending_dir


def require_keys(spark: SparkSession, filesystem: HadoopFileSystem, table: Table, pending_dir: str) -> None:
    """Make sure that a store's keys are of the kind that this version makes; for Parquet files, tell of older ones.

    Scores under other keys in a folder of Parquet files lie beside ours and are not read: their pairs are scored anew.
    A table has one type for a column, and takes one kind of key.

    Raises
    ------
    UsageError
        If the store is a table, or a folder in another format, and its keys are of another type.
    """
    roots = {batches_root(table, pending_dir), pending_dir}
    old = [root for root in roots if _folders(filesystem, root, "model_name=")]
    for root in old:
        log.warning("scores under keys of an older version are not used, delete them", extra={"folder": root})
    if table.plain_files or not table.exists(spark, filesystem):
        return
    types = {field.name: field.dataType for field in table.read(spark).schema if field.name in KEYS}
    if types != KEY_TYPES:
        expected, found = (
            ", ".join(f"{name} {kind.simpleString()}" for name, kind in sorted(some.items())) or "none"
            for some in (KEY_TYPES, types)
        )
        raise UsageError(
            f"--store: {table.name} has the keys {found}, expected {expected}: it was made by an older version, whose "
            "keys can be forged; name another store, where every pair is scored anew"
        )


def discard_unfinished(filesystem: HadoopFileSystem, root: str, run_ids: Iterable[str]) -> None:
    """Delete what tasks of ended runs had begun to write, for whatever model, and their folders that are empty then."""
    batches = {f"batch={run_id}" for run_id in run_ids}
    for model in _folders(filesystem, f"{root}/{_KEYS_FOLDER}", "model_name="):
        for version in _folders(filesystem, model, "model_version="):
            if not (begun := batches.intersection(filesystem.names(version))):
                continue
            for batch in begun:
                filesystem.delete(f"{version}/{batch}/_temporary", below=root)
                filesystem.delete_if_empty(f"{version}/{batch}")
            filesystem.delete_if_empty(version)
            filesystem.delete_if_empty(model)
    filesystem.delete_if_empty(f"{root}/{_KEYS_FOLDER}")


def _folders(filesystem: HadoopFileSystem, folder: str, prefix: str) -> list[str]:
    return [f"{folder}/{name}" for name in filesystem.names(folder) if name.startswith(prefix)]


def _latest(rows: DataFrame) -> DataFrame:
    """Keep one row for each pair: a settled one if there is one, and the newest of those."""
    others = [name for name in rows.columns if name not in KEYS]
    order = (_settled().alias("settled"), F.col("scored_at").alias("at"))
    latest = rows.groupBy(*KEYS).agg(F.max(F.struct(*order, *others)).alias("latest"))
    return latest.select(*KEYS, *(F.col(f"latest.{name}") for name in others))


def _settled() -> Column:
    return F.col("status").isin(*SETTLED)
