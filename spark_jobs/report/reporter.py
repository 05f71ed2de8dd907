"""Judge labelled rows before they are published, and write the report of the run.

The files of a report::

    OUTPUT/reports/run_date=2026-11-01/report.json       the newest attempt that reached its gates
                                      /report.html       the same as a page
                                      /published.json    what is published, if that attempt was held back
"""

from __future__ import annotations

import json
import logging
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import grpc
from pyspark.sql import DataFrame, SparkSession

from grpc_client import ModelInfo
from spark_jobs.errors import GatesFailedError, RunFailedError
from spark_jobs.lifecycle.error_translation import to_job_error
from spark_jobs.progress.tracker import Progress
from spark_jobs.quality import gates
from spark_jobs.quality.baseline import KEPT, REPORT, last_published, read_baseline
from spark_jobs.quality.drift import drift, label_drift
from spark_jobs.quality.gates import Measured, share_of, share_of_replaced
from spark_jobs.quality.judged import JudgedFigures, earlier_figures, measure_judged
from spark_jobs.quality.summary import Summary, samples, summarise
from spark_jobs.report.page import page
from spark_jobs.report.run_report import Assessment, PairCounts, RunReport
from spark_jobs.settings import LabelSettings
from spark_jobs.spark_compat import java_property
from spark_jobs.storage.filesystem import HadoopFileSystem

log = logging.getLogger(__name__)

PAGE = "report.html"

# Old s3a:// addresses hold access keys where a user name would be.
_USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")


class Reporter:
    """Judges one run and writes its report.

    Parameters
    ----------
    spark, storage
        The session, and its file system.
    settings, run_id
        The run.
    progress
        The steps of the run.
    output
        The partition that the run publishes.
    judged
        Pairs that people judged, of `spark_jobs.quality.judged.judged_pairs`; `None` without.
    """

    def __init__(
        self,
        spark: SparkSession,
        storage: HadoopFileSystem,
        settings: LabelSettings,
        *,
        run_id: str,
        progress: Progress,
        output: str,
        judged: DataFrame | None = None,
    ) -> None:
        self._spark = spark
        self._settings = settings
        self._run_id = run_id
        self._progress = progress
        self._output = output
        self._judged = judged
        self._storage = storage
        self._reports = f"{settings.output.rstrip('/')}/reports"
        self._folder = f"{self._reports}/run_date={settings.run_date}"

    def judge(
        self, labelled: DataFrame, *, rows_in: int, pairs: PairCounts, info: ModelInfo, replaced: int | None
    ) -> Assessment:
        """Count labelled rows, compare them with the last published run, and judge them by the gates.

        Parameters
        ----------
        labelled
            The rows, already written: they are read twice, and not after this call.
        rows_in
            Rows of the input.
        pairs
            Counts of distinct pairs.
        info
            The model that scored.
        replaced
            Labelled rows of the partition that would be replaced; `None` if there is none or they cannot be counted.

        Raises
        ------
        RunFailedError
            If the labelled rows are more or fewer than the input's.
        """
        settings = self._settings
        summary = summarise(labelled, settings.query_column, settings.title_column)
        if summary.rows != rows_in:
            raise RunFailedError(f"{rows_in} rows of input became {summary.rows} labelled rows; nothing was published")
        before = last_published(self._storage, self._reports, settings.run_date)
        scores = labels = None
        if before is not None:
            scores = drift(summary.histogram, before.histogram)
            labels = label_drift(summary.labels, before.labels)
        limits = gates.with_changes(settings.gate)
        bounds = {gate.name: gate.bound for gate in limits}
        no_baseline = "no published run to compare with"
        measures = {
            "rows_min": Measured(rows_in),
            "rows_change": Measured(None, no_baseline)
            if before is None or not before.rows
            else Measured(abs(rows_in / before.rows - 1), f"{before.rows:,} rows on {before.run_date}"),
            "labelled_rows": Measured(summary.labelled / rows_in, f"{summary.labelled:,} of {rows_in:,} rows"),
            "replaced_rows": share_of_replaced(summary.labelled, replaced),
            "failed_rows": share_of(summary.failed, rows_in, bounds["failed_rows"]),
            "rejected_rows": share_of(summary.rejected, rows_in, bounds["rejected_rows"]),
            "duplicate_rows": _duplicates(summary, pairs),
            "label_share": _rarest_label(summary, info, bounds["label_share"]),
            **{
                name: Measured(None, no_baseline if before is None else "nothing to compare")
                if found is None
                else Measured(found.psi, found.reading, judged=found.reading != "too few rows")
                for name, found in (("score_drift", scores), ("label_drift", labels))
            },
        }
        assessment = Assessment(
            rows_in=rows_in,
            pairs=pairs,
            summary=summary,
            info=info,
            baseline=before,
            scores=scores,
            labels=labels,
            outcomes=gates.judge(limits, measures),
            samples=samples(labelled, settings.query_column, settings.title_column, summary),
            publish_anyway=settings.publish_anyway,
            judged=self._measured(labelled, info),
            judged_before=()
            if self._judged is None
            else earlier_figures(self._storage, self._reports, settings.run_date),
        )
        for outcome in (*assessment.failed, *assessment.warned):
            log.warning("gate broken", extra={"run_id": self._run_id, "gate": outcome.sentence, "state": outcome.state})
        return assessment

    def labelled_before(self) -> int | None:
        """Return the labelled rows of what is published for the date, by its report; `None` if it has none."""
        texts = (self._storage.read_text(f"{self._folder}/{name}") for name in (REPORT, KEPT))
        found = next((baseline for text in texts if (baseline := read_baseline(text)) is not None), None)
        return None if found is None else sum(found.labels.values())

    def _measured(self, labelled: DataFrame, info: ModelInfo) -> JudgedFigures | None:
        if self._judged is None:
            return None
        settings = self._settings
        return measure_judged(
            labelled, self._judged, settings.query_column, settings.title_column, relevant_label=info.labels[-1]
        )

    def hold(self, assessment: Assessment) -> GatesFailedError:
        """Write the report of a run that is not published; return the error that ends it."""
        # The report of what is published for the date, if anything is, is kept under another name.
        old = self._storage.read_text(f"{self._folder}/{REPORT}")
        if read_baseline(old) is not None:
            self._storage.replace_text(f"{self._folder}/{KEPT}", old)
        report = self._write(assessment)
        broken = "; ".join(outcome.sentence for outcome in assessment.failed)
        return GatesFailedError(f"the run was held back, nothing was published: {broken} (see {report.page})")

    def finish(self, assessment: Assessment) -> RunReport:
        """Write the report of a published run.

        Raises
        ------
        RunFailedError
            If that fails; the labels are published nonetheless.
        """
        try:
            report = self._write(assessment)
            self._storage.delete(f"{self._folder}/{KEPT}", below=self._folder)
        except Exception as error:
            raise RunFailedError(
                f"{self._output} is published, but its report could not be written: {to_job_error(error, [])}"
            ) from error
        return report

    def _write(self, assessment: Assessment) -> RunReport:
        report = RunReport(
            run_id=self._run_id,
            run_date=self._settings.run_date,
            output=self._output,
            started_at=datetime.fromtimestamp(self._progress.started, UTC),
            finished_at=datetime.now(UTC),
            assessment=assessment,
            seconds={**self._progress.seconds, "total": self._progress.total_seconds},
            settings=reported_settings(self._settings),
            versions=self._versions(),
            throughput=self._progress.throughput(),
            partitions=self._progress.partitions,
            page=f"{self._folder}/{PAGE}",
        )
        self._storage.replace_text(report.page, page(report))
        self._storage.replace_text(
            f"{self._folder}/{REPORT}", json.dumps(report.as_dict(), indent=2, default=str) + "\n"
        )
        return report

    def _versions(self) -> dict[str, str]:
        return {
            "qtr": _own_version(),
            "spark": self._spark.version,
            "python": platform.python_version(),
            "java": java_property(self._spark, "java.version"),
            "grpc": grpc.__version__,
        }


def reported_settings(settings: LabelSettings) -> dict[str, Any]:
    """Return the settings as a report may show them: the names of secret files, never their content."""
    return {name: _without_keys(value) for name, value in settings.model_dump(mode="json").items()}


def _without_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_keys(item) for item in value]
    return _USER_INFO.sub("***@", value) if isinstance(value, str) else value


def _duplicates(summary: Summary, pairs: PairCounts) -> Measured:
    scorable = summary.rows - summary.rejected
    if not scorable:
        return Measured(None, "no scorable rows")
    # The server rejects some of the distinct pairs, so the two counts may be of slightly different rows.
    return Measured(max(0.0, 1 - pairs.distinct / scorable), f"{pairs.distinct:,} pairs for {scorable:,} rows")


def _rarest_label(summary: Summary, info: ModelInfo, bound: float) -> Measured:
    counts = {name: summary.labels.get(name, 0) for name in info.labels}
    if not counts or not summary.labelled:
        return Measured(None, "no labelled rows")
    name = min(counts, key=lambda label: counts[label])
    # With fewer rows, even a label exactly at the bound may not occur.
    enough = bound * summary.labelled >= 10
    return Measured(
        counts[name] / summary.labelled, name if enough else f"{name}: too few rows to judge", judged=enough
    )


def _own_version() -> str:
    try:
        return version("qtr-relevance")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
