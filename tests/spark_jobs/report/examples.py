"""Reports made without a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from grpc_client import Limits, ModelInfo, ModelRef
from spark_jobs.progress.rate import Point
from spark_jobs.progress.spark_status import Partitions, TaskTime
from spark_jobs.quality import gates
from spark_jobs.quality.baseline import Baseline
from spark_jobs.quality.drift import drift, label_drift
from spark_jobs.quality.gates import Measured
from spark_jobs.quality.judged import JudgedFigures, JudgedRun
from spark_jobs.quality.summary import BINS, RowError, SampleRow, Summary
from spark_jobs.report.run_report import Assessment, PairCounts, RunReport

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"
INFO = ModelInfo(
    ref=ModelRef("student", "1.0.0"),
    sha256="0f" * 32,
    labels=("irrelevant", "relevant"),
    threshold=0.62,
    limits=Limits(
        max_rows=1024,
        max_text_bytes=8192,
        max_message_bytes=1 << 22,
        max_queued_tokens=1 << 16,
        max_query_tokens=16,
        max_title_tokens=40,
    ),
)


def report(*, failed: int = 3, first_run: bool = False, publish_anyway: bool = False) -> RunReport:
    """Return the report of a run of 10,000 rows and the failed ones; more than 101 of these break a gate."""
    histogram = tuple(20 + 50 * number for number in range(BINS))
    rows = sum(histogram) + 100 + failed
    labels = {"irrelevant": sum(histogram[:12]), "relevant": sum(histogram[12:])}
    before = None
    if not first_run:
        old = tuple(reversed(histogram))
        before = Baseline(
            date(2026, 10, 31), "earlier", "student 0.9.0", 9_000, {"irrelevant": 3000, "relevant": 6000}, old
        )
    row_errors = {RowError("INVALID_ARGUMENT", "query is null"): 100, RowError("INTERNAL", f"broken {HOSTILE}"): failed}
    outcomes = [gate.judge(Measured(None, "…")) for gate in gates.DEFAULTS]
    failures = [gate.name for gate in gates.DEFAULTS].index("failed_rows")
    outcomes[failures] = gates.DEFAULTS[failures].judge(gates.share_of(failed, rows, 0.01))
    assessment = Assessment(
        rows_in=rows,
        pairs=PairCounts(9_000, 4_000, failed),
        summary=Summary(labels, row_errors, histogram),
        info=INFO,
        baseline=before,
        scores=None if before is None else drift(histogram, before.histogram),
        labels=None if before is None else label_drift(labels, before.labels),
        outcomes=tuple(outcomes),
        publish_anyway=publish_anyway,
        judged=JudgedFigures(290, 312, 0.871, 0.804, None),
        judged_before=()
        if first_run
        else (JudgedRun(date(2026, 10, 31), "student 0.9.0", JudgedFigures(301, 312, None, 0.79, 0.912)),),
        samples={
            "irrelevant": [SampleRow(HOSTILE, HOSTILE, 0.1, "irrelevant")],
            "relevant": [SampleRow("سماعات", "headphones", 0.9, "relevant")],
            "INVALID_ARGUMENT: query is null": [SampleRow(None, "", None, None)],
        },
    )
    started = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    return RunReport(
        run_id="4f0c",
        run_date=date(2026, 11, 1),
        output="/out/labels/run_date=2026-11-01",
        started_at=started,
        finished_at=started + timedelta(seconds=90),
        assessment=assessment,
        seconds={"read": 1.0, "score": 4.0, "publish": 2.0, "total": 8.0},
        settings={"input": [HOSTILE], "target": None, "debug": False},
        versions={"qtr": "0.1.0"},
        throughput=(Point(1.0, 800.0), Point(4.0, 1066.7)),
        partitions=Partitions(8, 0.4, (TaskTime(3, "localhost", 1.2, 512),)),
        page="/out/reports/run_date=2026-11-01/report.html",
    )


def without_extras(whole: RunReport) -> RunReport:
    """Take away what a run may lack."""
    assessment = replace(
        whole.assessment, summary=Summary({}, {}, (0,) * BINS), scores=None, labels=None, samples={}, judged=None
    )
    return replace(whole, assessment=assessment, throughput=(), partitions=None, seconds={"total": 0.0})
