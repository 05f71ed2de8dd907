"""The steps of one run, from the input to the published partition."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from threading import Event

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from grpc_client import ClientConfig, ModelInfo, RelevanceClient, RetryPolicy
from spark_jobs.errors import InputError, RunFailed
from spark_jobs.reader import read_input
from spark_jobs.report import LabelledRow, RunReport
from spark_jobs.schema import INVALID_ARGUMENT, OK, RESULT_SPARK
from spark_jobs.scoring import score_pairs
from spark_jobs.session import scoring_partitions
from spark_jobs.settings import LabelSettings
from spark_jobs.storage import Storage
from spark_jobs.validation import refusal_column

log = logging.getLogger("spark_jobs")

# Names that no input has, for what a row carries between the steps.
_REFUSAL, _QUERY, _TITLE = "__qtr_refusal", "__qtr_query", "__qtr_title"
_SAMPLE_ROWS = 5


@dataclass(frozen=True)
class LabelRun:
    """One run.

    Attributes
    ----------
    spark, settings
        Where and how.
    run_id
        Names the run in every row that it publishes, and its staging folder.
    target
        Gives the gRPC target; may have to wait for it.
    scored
        Called when the last pair is scored: the servers are not needed any more.
    published
        Set when the partition is there: what goes wrong afterwards cannot take it back.
    """

    spark: SparkSession
    settings: LabelSettings
    run_id: str
    target: Callable[[], str]
    scored: Callable[[], None]
    published: Event = field(default_factory=Event)

    def __call__(self) -> RunReport:
        """Label the input and publish it; on any failure nothing of it is left.

        Raises
        ------
        JobError, grpc_client.ClientError, pyspark.errors.PySparkException, py4j.protocol.Py4JError
            Whatever went wrong; `spark_jobs.faults` makes a sentence of it.
        """
        started = time.monotonic()
        storage = Storage(self.spark)
        output = self.settings.output.rstrip("/") or "/"
        staging, labels = f"{output}/_staging-{self.run_id}", f"{output}/labels"
        made_here = [folder for folder in (labels, output) if not storage.exists(folder)]
        try:
            frame = read_input(self.spark, storage, self.settings)
            if frame.isEmpty():
                raise InputError(f"the input {', '.join(self.settings.input)} has no rows")
            config, info = self._connect()
            log.info("scoring", extra={"run_id": self.run_id, "model": str(info.ref), "target": config.target})
            checked = self._checked(frame, info)
            scoring_started = time.monotonic()
            self._score(checked, config).write.parquet(staging)
            scoring_s = time.monotonic() - scoring_started
            self.scored()
            scored = self.spark.read.parquet(staging)
            log.info("publishing", extra={"run_id": self.run_id, "output": labels})
            self._labelled(frame.columns, checked, scored, info).write.mode("overwrite").option(
                "partitionOverwriteMode", "dynamic"
            ).partitionBy("run_date").parquet(labels)
            self.published.set()
            report = self._report(frame, scored, f"{labels}/run_date={self.settings.run_date}", info)
            return replace(report, scoring_s=scoring_s, total_s=time.monotonic() - started)
        finally:
            storage.wait_for_writers()
            storage.delete(staging)
            for folder in made_here:
                storage.delete_if_empty(folder)

    def _connect(self) -> tuple[ClientConfig, ModelInfo]:
        """Ask which model is served, and pin it: an answer by another one fails the run instead of mixing versions."""
        settings = self.settings
        config = ClientConfig(
            target=self.target(),
            deadline_s=settings.deadline,
            in_flight=settings.in_flight,
            max_rows_per_rpc=settings.rows_per_rpc,
            retry=RetryPolicy(budget_s=settings.retry_budget),
            # The servers of the run itself listen on loopback, in plain text.
            tls=settings.tls_files() if settings.target else None,
            token_file=settings.token_file_name() if settings.target else None,
        )
        # Somebody waits at the terminal: a wrong address shows within seconds, not after the budget of a nightly call.
        first_call = replace(config, retry=RetryPolicy(budget_s=min(settings.retry_budget, 15.0)))
        with RelevanceClient(first_call) as client:
            info = client.model()
        return replace(config, model=info.ref), info

    def _checked(self, frame: DataFrame, info: ModelInfo) -> DataFrame:
        query, title = _column(frame, self.settings.query_column), _column(frame, self.settings.title_column)
        refusal = refusal_column(query, title, info.limits.max_text_bytes)
        return frame.withColumns({_QUERY: query, _TITLE: title, _REFUSAL: refusal})

    def _score(self, checked: DataFrame, config: ClientConfig) -> DataFrame:
        texts = (F.col(_QUERY).alias("query"), F.col(_TITLE).alias("title"))
        pairs = checked.where(F.col(_REFUSAL).isNull()).select(*texts)
        # Hashing by title alone also puts equal pairs together, so distinct() needs no second shuffle. Sorted, a
        # title's pairs end up in the same call, and the server encodes it once: 15 % less work for it when its cache
        # holds all texts, 35 % when it does not. Giving the number keeps Spark's adaptive execution from merging small
        # partitions into one, which would leave the servers waiting for a single task.
        pairs = pairs.repartition(scoring_partitions(self.spark, self.settings), "title").distinct()
        pairs = pairs.sortWithinPartitions("title", "query")
        return score_pairs(pairs, config)

    def _labelled(self, columns: list[str], checked: DataFrame, scored: DataFrame, info: ModelInfo) -> DataFrame:
        refusal = checked[_REFUSAL]
        joined = checked.join(
            scored,
            refusal.isNull() & (checked[_QUERY] == scored["query"]) & (checked[_TITLE] == scored["title"]),
            "left",
        )
        missing = F.raise_error(F.lit("the input changed during the run: a row has a pair that was not scored"))
        results = {name: scored[name] for name in RESULT_SPARK.names} | {
            "model_name": F.lit(info.ref.name),
            "model_version": F.lit(info.ref.version),
            "status": F.coalesce(
                scored["status"], F.when(refusal.isNotNull(), F.lit(INVALID_ARGUMENT)), missing.cast("string")
            ),
            "error": F.coalesce(scored["error"], refusal),
            "scored_at": F.coalesce(scored["scored_at"], F.current_timestamp()),
            "run_id": F.lit(self.run_id),
            "run_date": F.lit(self.settings.run_date),
        }
        kept = [_column(checked, name) for name in columns]
        return joined.select(*kept, *(column.alias(name) for name, column in results.items()))

    def _report(self, frame: DataFrame, scored: DataFrame, partition: str, info: ModelInfo) -> RunReport:
        published = self.spark.read.parquet(partition)
        # Sizes differ from row to row; what a person wants to know is how many texts were too long.
        reason = F.regexp_replace("error", r"has \d+ bytes", "has too many bytes")
        groups = published.groupBy("status", "label", reason.alias("reason")).count().collect()
        labels: dict[str, int] = {}
        errors: dict[str, int] = {}
        for status, label, why, count in groups:
            bucket, key = (labels, label) if status == OK else (errors, f"{status}: {why}")
            bucket[key] = bucket.get(key, 0) + count
        rows_in, rows_out = frame.count(), sum(labels.values()) + sum(errors.values())
        if rows_in != rows_out:
            raise RunFailed(f"{partition} has {rows_out} rows for {rows_in} rows of input; do not use it")
        shown = reduce(and_, (F.length(_column(published, name)) > 0 for name in self._texts()), F.col("status") == OK)
        # By hash: neighbours in the file are often about the same query.
        scattered = published.where(shown).orderBy(F.xxhash64(*self._texts()))
        sample = scattered.select(*self._texts(), "score", "label").limit(_SAMPLE_ROWS).collect()
        return RunReport(
            run_id=self.run_id,
            run_date=self.settings.run_date,
            model_name=info.ref.name,
            model_version=info.ref.version,
            output=partition,
            rows_in=rows_in,
            rows_out=rows_out,
            distinct_pairs=scored.count(),
            labels=labels,
            errors=errors,
            scoring_s=0.0,
            total_s=0.0,
            sample=tuple(LabelledRow(*row) for row in sample),
        )

    def _texts(self) -> tuple[str, str]:
        return f"`{self.settings.query_column}`", f"`{self.settings.title_column}`"


def _column(frame: DataFrame, name: str) -> Column:
    return frame[name] if name.startswith("`") else frame[f"`{name.replace('`', '``')}`"]
