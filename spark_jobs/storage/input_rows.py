"""The input rows of a run: the pairs in them that have no score yet, and the labelled rows made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from grpc_client import ModelInfo
from spark_jobs.columns import column, unused_names
from spark_jobs.scoring.schema import INVALID_ARGUMENT, RESULT_SPARK
from spark_jobs.scoring.validation import row_error_column
from spark_jobs.storage.pair_keys import KEYS, key_columns


@dataclass(frozen=True)
class InputRows:
    """The input rows, validated by the limits of the served model.

    Attributes
    ----------
    frame
        All columns of the input.
    query_column, title_column
        Names of the two text columns.
    info
        The served model, whose limit on texts decides which rows can be sent.
    """

    frame: DataFrame
    query_column: str
    title_column: str
    info: ModelInfo

    @cached_property
    def _texts(self) -> tuple[Column, Column]:
        return column(self.frame, self.query_column), column(self.frame, self.title_column)

    @cached_property
    def _row_error(self) -> Column:
        return row_error_column(*self._texts, self.info.limits.max_text_bytes)

    def pairs(self) -> DataFrame:
        """Return `KEYS`, `query` and `title` of every row that can be sent."""
        query, title = self._texts
        keys = [key.alias(name) for name, key in key_columns(query, title).items()]
        return self.frame.where(self._row_error.isNull()).select(*keys, query.alias("query"), title.alias("title"))

    def count_pairs(self) -> int:
        """Return the number of distinct pairs."""
        return self.pairs().select(*KEYS).distinct().count()

    def new_pairs(self, known: DataFrame | None, partitions: int) -> DataFrame:
        """Return the distinct pairs that are not in `known`, distributed and sorted for scoring.

        One shuffle, by the title's hash, serves the deduplication, the anti-join and the server: the pairs of a title
        are in one partition and, sorted, in one call, in which the title is encoded once (15 % less work for a server
        whose cache holds all texts, 35 % for one whose cache does not). An explicit number of partitions keeps Spark's
        adaptive execution from merging small ones into one, which would leave the servers waiting for a single task.

        Parameters
        ----------
        known
            `KEYS` of pairs that need no score.
        partitions
            Spark partitions of the result.
        """
        pairs = self.pairs().repartition(partitions, KEYS[0]).distinct()
        if known is not None:
            pairs = pairs.join(known, list(KEYS), "left_anti")
        return pairs.sortWithinPartitions(*KEYS)

    def labelled(self, scores: DataFrame, run_id: str) -> DataFrame:
        """Join every row with the score of its pair, or with its row error.

        Parameters
        ----------
        scores
            `KEYS` and results, each pair once.
        run_id
            The id of the run, written into every row.

        Returns
        -------
        DataFrame
            The columns of the input, those of `RESULT_SPARK`, and `run_id`. Execution fails if a pair has no score.
        """
        keys = key_columns(*self._texts)
        # Columns for the join, under names that the input does not have.
        names = unused_names(self.frame.columns, ["row_error", *KEYS])
        # A row with a row error has no keys, so that it is never joined to a pair with the same hash.
        of_row = {names[name]: F.when(self._row_error.isNull(), key) for name, key in keys.items()}
        rows = self.frame.withColumns({names["row_error"]: self._row_error, **of_row})
        matches = [rows[names[name]] == scores[name] for name in KEYS]
        joined = rows.join(scores, matches[0] & matches[1], "left")
        row_error = rows[names["row_error"]]
        missing = F.raise_error(F.lit("the input changed during the run: a row has a pair that was not scored"))
        results = {
            "score": scores["score"],
            "label": scores["label"],
            "model_name": F.lit(self.info.ref.name),
            "model_version": F.lit(self.info.ref.version),
            "status": F.coalesce(
                scores["status"], F.when(row_error.isNotNull(), F.lit(INVALID_ARGUMENT)), missing.cast("string")
            ),
            "error": F.coalesce(scores["error"], row_error),
            "scored_at": F.coalesce(scores["scored_at"], F.current_timestamp()),
        }
        assert list(results) == RESULT_SPARK.names
        kept = [column(rows, name) for name in self.frame.columns]
        return joined.select(
            *kept, *(value.alias(name) for name, value in results.items()), F.lit(run_id).alias("run_id")
        )
