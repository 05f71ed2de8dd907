"""The steps of one run, from the input to the published partition."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from grpc_client import ClientConfig, ModelInfo, RelevanceClient, RetryPolicy
from spark_jobs.errors import InputError, JobError, RunFailedError
from spark_jobs.input.reader import read_input
from spark_jobs.lifecycle.damage import damaged_file
from spark_jobs.lifecycle.session import scoring_partitions
from spark_jobs.progress.tracker import Progress
from spark_jobs.quality.gates import failures_allowed, with_changes
from spark_jobs.report.reporter import Reporter
from spark_jobs.report.run_report import PairCounts, RunReport
from spark_jobs.scoring.api import score_pairs
from spark_jobs.scoring.schema import OUTPUT_COLUMNS
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS
from spark_jobs.storage.publication import PARTITIONS, Publication
from spark_jobs.storage.run_lock import RunLock
from spark_jobs.storage.score_store import STORE_COLUMNS, ScoreStore, batches_root, discard_unfinished, require_keys
from spark_jobs.storage.tables import Table

log = logging.getLogger("spark_jobs")


class LabelRun:
    """One run.

    Parameters
    ----------
    spark, settings
        Where and how.
    run_id
        Names the run in every row that it scores or publishes.
    target
        Gives the gRPC target; may have to wait for it.
    scored
        Called when the last pair is scored: the servers are not needed any more.
    progress
        Told about every step.

    Attributes
    ----------
    published
        Set when the partition is there: what goes wrong afterwards cannot take it back.
    """

    def __init__(
        self,
        spark: SparkSession,
        settings: LabelSettings,
        run_id: str,
        *,
        target: Callable[[], str],
        scored: Callable[[], None],
        progress: Progress,
    ) -> None:
        self.spark = spark
        self.settings = settings
        self.run_id = run_id
        self.published = Event()
        self._first_contact: RelevanceClient | None = None
        self._target = target
        self._scored = scored
        self._progress = progress
        self._filesystem = HadoopFileSystem(spark)
        self._output = settings.output.rstrip("/") or "/"
        self._date = f"run_date={settings.run_date}"
        self._pending_dir = f"{self._output}/_scored/{self._date}"
        self._store = Table(settings.store or f"{self._output}/scores", settings.format)
        self._labels = Table((settings.labels or f"{self._output}/labels").rstrip("/"), settings.format)
        aside = self._labels.name if settings.labels and self._labels.plain_files else self._output
        self._publication = Publication(
            spark,
            self._filesystem,
            self._labels,
            staging=f"{aside}/_staging/{self._date}",
            run_date=settings.run_date,
            run_id=run_id,
        )
        # Outputs may share a folder of labels, whose partitions are renamed: who publishes there holds its lock, too.
        locked = dict.fromkeys([self._output, *([] if self._labels.named else [self._labels.name])])
        day = self._date.replace("=", " ")
        self._locks = [
            RunLock(self._filesystem, f"{folder}/_locks/{self._date}", run_id, f"{day} of {folder}")
            for folder in locked
        ]

    def trouble(self) -> JobError | None:
        """Return the reason to break off a run that has lost a lock."""
        return next((trouble for lock in self._locks if (trouble := lock.trouble()) is not None), None)

    def break_off(self) -> None:
        """End a wait for another run, or for the service's first answer; may be called at any time, from any thread."""
        for lock in self._locks:
            lock.give_up()
        if self._first_contact is not None:
            self._first_contact.close()

    def __call__(self) -> RunReport:
        """Label the input and publish it; on any failure nothing of it is published, and what was scored is kept.

        Raises
        ------
        JobError, grpc_client.ClientError, pyspark.errors.PySparkException, py4j.protocol.Py4JError
            Whatever went wrong; `spark_jobs.lifecycle.error_translation` makes a sentence of it.
        """
        outer = [self._store.name] if self._store.plain_files else []
        outer += [] if self._labels.named else [self._labels.name]
        outer += [self._output]
        made_here = [folder for folder in outer if not self._filesystem.exists(folder)]
        try:
            with ExitStack() as held:
                for lock in self._locks:
                    held.enter_context(lock)
                self._clean()
                try:
                    return self._label()
                finally:
                    self._filesystem.wait_for_writers()
                    # Once more: the Java of a driver that was killed lives on for a moment, and may have gone on
                    # writing.
                    self._clean()
        finally:
            for folder in made_here:
                self._filesystem.delete_if_empty(folder)

    def _clean(self) -> None:
        """Delete what this run, and the dead ones whose date it took over, left half done."""
        runs = list(dict.fromkeys([*(run_id for lock in self._locks for run_id in lock.dead), self.run_id]))
        self._publication.clean(runs)
        discard_unfinished(self._filesystem, batches_root(self._store, self._pending_dir), runs)

    def _check_locks(self) -> None:
        for lock in self._locks:
            lock.check()

    def _label(self) -> RunReport:
        settings, step = self.settings, self._progress.step
        with step("read"):
            opened = read_input(self.spark, self._filesystem, settings.input_options())
            frame, rows_in = opened.frame, opened.count()
            if not rows_in:
                raise InputError(f"the input {', '.join(settings.input)} has no rows")
            self._store.require(self.spark, "--store", STORE_COLUMNS)
            require_keys(self.spark, self._filesystem, self._store, self._pending_dir)
            self._labels.require(self.spark, "--labels", [*frame.columns, *OUTPUT_COLUMNS], PARTITIONS)
        with step("start"):
            config, info = self._connect()
        log.info("scoring", extra={"run_id": self.run_id, "model": str(info.ref), "target": config.target})
        night = InputRows(frame, settings.query_column, settings.title_column, info)
        store = ScoreStore(
            self.spark, self._filesystem, self._store, pending_dir=self._pending_dir, info=info, run_id=self.run_id
        )
        with step("score"):
            known, added = self._score(
                night, store, config, scoring_partitions(self.spark, settings.partitions, rows_in)
            )
        self._scored()
        log.info("publishing", extra={"run_id": self.run_id, "output": self._publication.location})
        with step("join"):
            try:
                staged = self._staged(night, store, rows_in)
            except (PySparkException, Py4JError) as error:
                if (damaged := self._set_aside_damaged(store, error)) is None:
                    raise
                # The servers of this run are gone; the next one scores the pairs of that file.
                raise RunFailedError(f"{damaged} was damaged and is set aside; start the run again") from error
        with step("report"):
            # Read back from the files: what a task counted may have been counted twice.
            new_pairs, failed = store.count(added)
            distinct = new_pairs if known is None else night.count_pairs()
            reporter = Reporter(
                self.spark,
                self._filesystem,
                settings,
                run_id=self.run_id,
                progress=self._progress,
                output=self._publication.location,
            )
            counts = PairCounts(distinct, new_pairs, failed)
            replaced = self._publication.labelled_before()
            judged = reporter.judge(staged, rows_in=rows_in, pairs=counts, info=info, replaced=replaced)
        if judged.held:
            held = reporter.hold(judged)
            # The scores are right, whatever the night is: other dates need not score these pairs again.
            self._check_locks()
            store.finish()
            raise held
        with step("publish"):
            self._check_locks()
            store.finish()
            self._publication.commit(staged, self._check_locks)
            self.published.set()
        report = reporter.finish(judged)
        if settings.compact:
            self._compact(store)
        return report

    def _score(
        self, night: InputRows, store: ScoreStore, config: ClientConfig, partitions: int
    ) -> tuple[DataFrame | None, DataFrame]:
        """Score the pairs that the store does not hold; give what it held, and what was added.

        A file of the store that cannot be read is set aside, one at a time: its pairs are scored again.
        """
        while True:
            known = store.known()
            new = night.new_pairs(known, partitions)
            try:
                return known, store.append(score_pairs(new, config, keep=KEYS, meter=self._progress.meter))
            except (PySparkException, Py4JError) as error:
                if self._set_aside_damaged(store, error) is None:
                    raise

    def _set_aside_damaged(self, store: ScoreStore, error: Exception) -> str | None:
        """Set the store's file aside that an error says is damaged, if it says so; give the file as it was named."""
        name = damaged_file(str(error))
        damaged = None if name is None else store.set_aside(name)
        if damaged is not None:
            log.warning(
                "a damaged file of the score store was set aside; its pairs are scored again",
                extra={"run_id": self.run_id, "file": damaged},
            )
        return damaged

    def _compact(self, store: ScoreStore) -> None:
        try:
            with self._progress.step("compact"):
                store.compact()
        except (Py4JError, PySparkException, OSError) as error:
            location = self._publication.location
            raise RunFailedError(f"{location} is published, but the store could not be compacted: {error}") from error

    def _staged(self, night: InputRows, store: ScoreStore, rows_in: int) -> DataFrame:
        """Write the labelled rows aside, and make sure that they are as many as the input has."""
        rows_out = -1
        for unique in (False, True):
            staged = self._publication.stage(night.labelled(store.scores(unique=unique), self.run_id))
            rows_out = staged.count()
            if rows_out == rows_in:
                return staged
        raise RunFailedError(f"{rows_in} rows of input became {rows_out} labelled rows; nothing was published")

    def _connect(self) -> tuple[ClientConfig, ModelInfo]:
        """Ask which model is served, and pin it with its limit on texts.

        An answer by another model fails the run instead of mixing versions. A row that a server refuses by a lower
        limit of its own is `FAILED`, which is never taken for the model's word.
        """
        settings = self.settings
        config = ClientConfig(
            target=self._target(),
            deadline_seconds=settings.deadline_seconds,
            in_flight=settings.in_flight,
            channels=settings.channels,
            max_rows_per_rpc=settings.rows_per_rpc,
            retry=RetryPolicy(budget_seconds=settings.retry_budget_seconds),
            max_failed_ratio=failures_allowed(with_changes(settings.gate), publish_anyway=settings.publish_anyway),
            # The servers of the run itself listen on loopback, in plain text.
            tls=settings.tls_files() if settings.target else None,
            token_file=settings.token_file_name() if settings.target else None,
        )
        first_call = config
        if sys.stdout.isatty():
            # Somebody waits: a wrong address shows within seconds, not after the budget of a nightly call.
            first_call = replace(config, retry=RetryPolicy(budget_seconds=min(settings.retry_budget_seconds, 15.0)))
        with RelevanceClient(first_call) as client:
            self._first_contact = client
            info = client.model()
        return replace(config, model=info.ref, max_text_bytes=info.limits.max_text_bytes), info
