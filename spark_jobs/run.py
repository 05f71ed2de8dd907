"""The steps of one run, from the input to the published partition."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from threading import Event

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from grpc_client import ClientConfig, ModelInfo, RelevanceClient, RetryPolicy
from spark_jobs.errors import InputError, JobError, RunFailedError
from spark_jobs.input.reader import read_input, read_judged
from spark_jobs.lifecycle.damage import damaged_file
from spark_jobs.lifecycle.error_translation import to_job_error
from spark_jobs.lifecycle.session import scoring_partitions
from spark_jobs.progress.tracker import Progress
from spark_jobs.quality.gates import failures_allowed, with_changes
from spark_jobs.quality.judged import judged_pairs
from spark_jobs.report.explained_samples import with_explanations
from spark_jobs.report.reporter import Reporter
from spark_jobs.report.run_report import PairCounts, RunReport
from spark_jobs.scoring.api import score_pairs
from spark_jobs.scoring.schema import OUTPUT_COLUMNS
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.input_rows import InputRows
from spark_jobs.storage.pair_keys import KEYS
from spark_jobs.storage.parquet_scores import STORE_COLUMNS, discard_unfinished
from spark_jobs.storage.publication import PARTITIONS, Publication
from spark_jobs.storage.run_lock import RunLock
from spark_jobs.storage.score_store import ScoreStore, batches_root, require_keys
from spark_jobs.storage.tables import Table

log = logging.getLogger(__name__)


class LabelRun:
    """One run; calling it labels the input and publishes the labels.

    Parameters
    ----------
    spark, settings
        The session and the settings.
    run_id
        The id of the run, written into every row that it scores or publishes.
    target
        Returns the gRPC target; may wait until its servers are ready.
    on_scored
        Called when the last pair is scored and the servers are no longer needed.
    progress
        Shows and times the steps.

    Attributes
    ----------
    published
        Set once the partition is published: later errors do not undo that.
    """

    def __init__(
        self,
        spark: SparkSession,
        settings: LabelSettings,
        run_id: str,
        *,
        target: Callable[[], str],
        on_scored: Callable[[], None],
        progress: Progress,
    ) -> None:
        self.spark = spark
        self.settings = settings
        self.run_id = run_id
        self.published = Event()
        self._first_contact: RelevanceClient | None = None
        self._target = target
        self._on_scored = on_scored
        self._progress = progress
        self._filesystem = HadoopFileSystem(spark)
        self._output = settings.output.rstrip("/") or "/"
        self._date = f"run_date={settings.run_date}"
        self._pending_dir = f"{self._output}/_scored/{self._date}"
        self._store = Table(settings.store or f"{self._output}/scores", settings.format)
        self._labels = Table((settings.labels or f"{self._output}/labels").rstrip("/"), settings.format)
        staging_root = self._labels.name if settings.labels and self._labels.plain_files else self._output
        self._publication = Publication(
            spark,
            self._filesystem,
            self._labels,
            staging=f"{staging_root}/_staging/{self._date}",
            run_date=settings.run_date,
            run_id=run_id,
        )
        # Outputs may share a folder of labels, so a run that publishes there holds the lock of that folder too.
        locked = dict.fromkeys([self._output, *([] if self._labels.named else [self._labels.name])])
        day = self._date.replace("=", " ")
        self._locks = [
            RunLock(self._filesystem, f"{folder}/_locks/{self._date}", run_id, f"{day} of {folder}")
            for folder in locked
        ]

    def failure(self) -> JobError | None:
        """Return the error that ends the run once a lock is lost, else `None`."""
        return next((failure for lock in self._locks if (failure := lock.failure()) is not None), None)

    def cancel(self) -> None:
        """End a wait for another run, or for the first answer of the service; may be called from any thread."""
        for lock in self._locks:
            lock.cancel()
        if self._first_contact is not None:
            self._first_contact.close()

    def __call__(self) -> RunReport:
        """Label the input and publish the labels. If anything fails, nothing is published, and the scores are kept.

        Raises
        ------
        JobError, grpc_client.ClientError, pyspark.errors.PySparkException, py4j.protocol.Py4JError
            Any error; `spark_jobs.lifecycle.error_translation` turns it into one sentence.
        """
        outer = [self._store.name] if self._store.plain_files else []
        outer += [] if self._labels.named else [self._labels.name]
        outer += [self._output]
        new_folders = [folder for folder in outer if not self._filesystem.exists(folder)]
        try:
            with ExitStack() as held:
                for lock in self._locks:
                    held.enter_context(lock)
                # Only now: whatever is staged for the date belongs to no run that still holds the lock.
                self._clean(self._publication.abandoned())
                try:
                    return self._label()
                finally:
                    self._filesystem.wait_for_writers()
                    # A second time: the Java process of a killed driver may have written for a moment longer.
                    self._clean()
        finally:
            for folder in new_folders:
                self._filesystem.delete_if_empty(folder)

    def _clean(self, abandoned: Sequence[str] = ()) -> None:
        """Delete unfinished files of this run, of the dead runs that it took over from, and of abandoned ones."""
        dead = (run_id for lock in self._locks for run_id in lock.dead_runs)
        runs = list(dict.fromkeys([*dead, *abandoned, self.run_id]))
        self._publication.clean(runs)
        discard_unfinished(self._filesystem, batches_root(self._store, self._pending_dir), runs)

    def _check_locks(self) -> None:
        for lock in self._locks:
            lock.check()

    def _label(self) -> RunReport:
        settings, step = self.settings, self._progress.step
        log.info("reading", extra={"run_id": self.run_id, "input": settings.input})
        with step("read"):
            opened = read_input(self.spark, self._filesystem, settings.input_options())
            frame, rows_in = opened.frame, opened.count()
            if not rows_in:
                raise InputError(f"the input {', '.join(settings.input)} has no rows")
            self._store.require(self.spark, "--store", STORE_COLUMNS)
            require_keys(self.spark, self._filesystem, self._store, self._pending_dir)
            self._labels.require(self.spark, "--labels", [*frame.columns, *OUTPUT_COLUMNS], PARTITIONS)
            judged = self._judged()
        with step("start"):
            config, info = self._connect()
        log.info("scoring", extra={"run_id": self.run_id, "model": str(info.ref), "target": config.target})
        rows = InputRows(frame, settings.query_column, settings.title_column, info)
        store = ScoreStore(
            self.spark, self._filesystem, self._store, pending_dir=self._pending_dir, info=info, run_id=self.run_id
        )
        with step("score"):
            known, added = self._score(
                rows, store, config, scoring_partitions(self.spark, settings.partitions, rows_in)
            )
        if not settings.explain:
            self._on_scored()
        log.info("publishing", extra={"run_id": self.run_id, "output": self._publication.location})
        with step("join"):
            try:
                staged = self._stage(rows, store, rows_in)
            except (PySparkException, Py4JError) as error:
                if (damaged := self._set_aside_damaged(store, error)) is None:
                    raise
                # The servers of this run are gone; the next one scores the pairs of that file.
                raise RunFailedError(f"{damaged} was damaged and is set aside; start the run again") from error
        with step("report"):
            # Counted in the files: the counters of tasks count a repeated task twice.
            new_pairs, failed = store.count(added)
            distinct = new_pairs if known is None else rows.count_pairs()
            reporter = Reporter(
                self.spark,
                self._filesystem,
                settings,
                run_id=self.run_id,
                progress=self._progress,
                output=self._publication.location,
                judged=judged,
            )
            counts = PairCounts(distinct, new_pairs, failed)
            assessment = reporter.judge(
                staged, rows_in=rows_in, pairs=counts, info=info, replaced=self._replaced(reporter)
            )
            if settings.explain:
                assessment = with_explanations(assessment, config, settings.explain, self.run_id)
                self._on_scored()
        if assessment.held:
            self._check_locks()
            held = reporter.hold(assessment)
            # The scores are correct even if the labels are not published; other dates use them.
            store.finish()
            raise held
        with step("publish"):
            self._check_locks()
            store.finish()
            self._publication.commit(staged, self._check_locks)
            self.published.set()
        report = reporter.finish(assessment)
        if settings.compact:
            self._compact(store)
        return report

    def _judged(self) -> DataFrame | None:
        """Return the pairs that people judged; their faults are found before anything is scored."""
        path = self.settings.judged
        if path is None:
            return None
        frame = read_judged(self.spark, self._filesystem, path)
        return judged_pairs(frame, self.settings.judged_relevant, path)

    def _score(
        self, rows: InputRows, store: ScoreStore, config: ClientConfig, partitions: int
    ) -> tuple[DataFrame | None, DataFrame]:
        """Score the pairs that are not in the store; return what it held, and what was added.

        Each file of the store that cannot be read is set aside, and its pairs are scored again.
        """
        while True:
            known = store.known()
            new = rows.new_pairs(known, partitions)
            try:
                return known, store.append(score_pairs(new, config, keep=KEYS, counters=self._progress.counters))
            except (PySparkException, Py4JError) as error:
                if self._set_aside_damaged(store, error) is None:
                    raise

    def _replaced(self, reporter: Reporter) -> int | None:
        """Return the labelled rows of the partition that is to be replaced, if there is one and they are known."""
        replaced = self._publication.labelled_before()
        if replaced is None and self._publication.exists():
            replaced = reporter.labelled_before()
        return replaced

    def _set_aside_damaged(self, store: ScoreStore, error: Exception) -> str | None:
        """Set aside the file of the store that an error names as damaged; return its path, `None` if there is none."""
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
            location, cause = self._publication.location, to_job_error(error, [])
            raise RunFailedError(f"{location} is published, but the store could not be compacted: {cause}") from error

    def _stage(self, rows: InputRows, store: ScoreStore, rows_in: int) -> DataFrame:
        """Stage the labelled rows, and make sure that they are as many as the input has."""
        rows_out = -1
        for unique in (False, True):
            staged = self._publication.stage(rows.labelled(store.scores(unique=unique), self.run_id))
            rows_out = staged.count()
            if rows_out == rows_in:
                return staged
        raise RunFailedError(f"{rows_in} rows of input became {rows_out} labelled rows; nothing was published")

    def _connect(self) -> tuple[ClientConfig, ModelInfo]:
        """Return the client's configuration, pinned to the served model and its limit on texts, and that model.

        An answer of another model fails the run, so that versions are never mixed. A row that exceeds a lower limit of
        one server is `FAILED`, not `INVALID_ARGUMENT`, and so is scored again by the next run.
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
            # Servers that the run starts listen on loopback without TLS.
            tls=settings.tls_files() if settings.target else None,
            token_file=settings.token_file_name() if settings.target else None,
        )
        first_call = config
        if sys.stdout.isatty():
            # In a terminal a wrong address is reported within seconds, not after the retry budget.
            first_call = replace(config, retry=RetryPolicy(budget_seconds=min(settings.retry_budget_seconds, 15.0)))
        with RelevanceClient(first_call) as client:
            self._first_contact = client
            info = client.model()
        return replace(config, model=info.ref, max_text_bytes=info.limits.max_text_bytes), info
