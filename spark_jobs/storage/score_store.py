"""The score store: every pair that was ever scored, once per model. It is also the checkpoint of an unfinished run.

The default store is a folder of Parquet files (`spark_jobs.storage.parquet_scores`). A pair is identified by its two
keys alone (`spark_jobs.storage.pair_keys`): storing its texts would add a tenth to Spark's cost of scoring, and would
store what shoppers searched for in one more place.

**No log of what was done.** Scores are facts about pairs, so the store is a set: half of a run's scores in it do no
harm, and are not computed again. Scoring is therefore one Spark job whose tasks each commit their own file by Hadoop's
committer, algorithm 2 (a task's commit renames its file into place; algorithm 1 holds all files back until the job
ends). A run that is killed loses only the tasks that were running, whose size `scoring_partitions` bounds; its rerun
finds the rest by one anti-join that it needs anyway. A retried task writes a file of the same name, and so replaces its
own. Structured Streaming (AvailableNow) would need the distinct new pairs as files first, written and read once more,
and a log that holds offsets but not pairs. Many small jobs, each committed as a whole, would leave cores idle at the
end of each.

**Other formats and tables** (Delta, Iceberg, ORC, a table of the catalog) commit whole jobs. For them the scores of a
run are first kept in a Parquet folder of the run's date, in the layout above, and are added to the table in one commit
at the end, except for pairs that the table has already.

**Settled rows** have the status `OK` or `INVALID_ARGUMENT`: the same model would return the same again, on any server.
Rows with any other status (`FAILED`) are published by their own run, and scored again by the next. A row error that
comes from the *settings* of a server is never stored: texts over the limit with which the run began are not sent, and a
row that exceeds a lower limit of one server is `FAILED`.

**A pair is stored twice** only if two runs score it at the same time, for two dates or two outputs. Joining then yields
more rows than the input has; the run counts them, and reads again with `unique=True`.
"""

from __future__ import annotations

import logging

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from grpc_client import ModelInfo
from spark_jobs.errors import UsageError
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.pair_keys import KEY_TYPES, KEYS
from spark_jobs.storage.parquet_scores import (
    MODEL_COLUMNS,
    RESULT_FIELDS,
    ROW,
    STORE_COLUMNS,
    ModelKey,
    ParquetScores,
    folders_in,
    is_settled,
    latest,
)
from spark_jobs.storage.paths import literal
from spark_jobs.storage.tables import Table

log = logging.getLogger(__name__)


class ScoreStore:
    """The scores of one model, as one run reads and adds to them.

    Parameters
    ----------
    spark, filesystem
        The session, and its file system.
    table
        The store.
    pending_dir
        Folder for the scores of the run's date until they are added to a store that is not plain Parquet files; no
        other run may use it meanwhile.
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
        """Return the keys of the settled pairs, which are not scored again; `None` if there are none."""
        rows = self._rows()
        return None if rows is None else rows.where(is_settled()).select(*KEYS)

    def append(self, rows: DataFrame) -> DataFrame:
        """Add rows (`ROW` without `run_id`), and return the rows that this run has added."""
        self._files.append(rows.withColumn("run_id", F.lit(self._run_id)), self._run_id)
        return self._spark.read.schema(ROW).parquet(literal(self._files.batch(self._run_id)))

    def scores(self, *, unique: bool = False) -> DataFrame:
        """Return keys and results of all settled pairs, and of those that this run could not score.

        Parameters
        ----------
        unique
            Return each pair once even if it is stored twice; costs 1.3 µs of CPU per row.
        """
        rows = self._rows()
        assert rows is not None, "a run adds its batch before it reads"
        names = [*KEYS, *(field.name for field in RESULT_FIELDS)]
        rows = rows.where(is_settled() | (F.col("run_id") == self._run_id)).select(*names)
        return latest(rows) if unique else rows

    def count(self, rows: DataFrame) -> tuple[int, int]:
        """Return the number of rows that `append` returned, and the number of those that are not settled."""
        counted = rows.agg(F.count("*"), F.count_if(~is_settled())).first()
        assert counted is not None
        return int(counted[0]), int(counted[1])

    def finish(self) -> None:
        """Add the pending scores to a store that is not plain Parquet files; a second call does nothing."""
        batches = self._files.batches()
        pending = self._files.read() if self._table is not None else None
        if self._table is None or pending is None:
            return
        rows = pending.where(is_settled()).withColumns(
            {
                name: F.lit(value)
                for name, value in zip(MODEL_COLUMNS, (self._model.name, self._model.version), strict=True)
            }
        )
        # A run that was killed between the commit and the deletion has added them already.
        if (stored := self._in_table()) is not None:
            rows = rows.join(stored.select(*KEYS), list(KEYS), "left_anti")
        self._table.append(rows.select(*STORE_COLUMNS), MODEL_COLUMNS)
        for batch in batches:
            self._filesystem.delete(self._files.batch(batch), below=self._files.folder)
        # Upwards: version, model, keys, date, and the folder of all dates. Pending scores of other models stay.
        folder = self._files.folder
        for _ in range(5):
            self._filesystem.delete_if_empty(folder)
            folder = folder.rsplit("/", 1)[0]

    def set_aside(self, name: str) -> str | None:
        """Set a damaged Parquet file aside, so that its pairs are scored again; `None` if it is not the store's."""
        return self._files.set_aside(name)

    def compact(self) -> None:
        """Rewrite the many files of a Parquet folder as few; no other run may use it meanwhile."""
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
    """Return the folder into which runs write their batches."""
    return table.name if table.plain_files else pending_dir


def require_keys(spark: SparkSession, filesystem: HadoopFileSystem, table: Table, pending_dir: str) -> None:
    """Make sure that a store that is a table has keys of this version; log a warning about older keys in folders.

    In a folder of Parquet files, scores under older keys are in folders of their own and are not read; their pairs are
    scored again. In a table a column has one type, so all keys are of one kind.

    Raises
    ------
    UsageError
        If the store is a table, or a folder in another format, and its keys are of another type.
    """
    roots = {batches_root(table, pending_dir), pending_dir}
    old = [root for root in roots if folders_in(filesystem, root, "model_name=")]
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
            "keys can be forged; name another store, where every pair is scored again"
        )
