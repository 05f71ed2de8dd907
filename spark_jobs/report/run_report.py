"""The result of a run as JSON, as a log event and on a terminal. Its counts come from the written rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grpc_client import Explanation, ModelInfo
from qtr_runtime.terminal import duration, escape_control
from spark_jobs.progress.rate import Point
from spark_jobs.progress.spark_status import Partitions
from spark_jobs.quality.baseline import Baseline
from spark_jobs.quality.drift import Drift
from spark_jobs.quality.gates import Outcome
from spark_jobs.quality.judged import JudgedFigures, JudgedRun
from spark_jobs.quality.summary import BINS, SampleRow, Summary

SCHEMA_VERSION = 1
_SAMPLE_ROWS = 5

Verdict = Literal["published", "published with warnings", "published anyway", "held back"]


class PairCounts(NamedTuple):
    """Numbers of distinct pairs: all, those that this run scored, and those of them on which the service failed."""

    distinct: int
    new: int
    failed: int


@dataclass(frozen=True)
class Assessment:
    """The judgement of labelled rows before they are published.

    Attributes
    ----------
    rows_in
        Rows of the input; there are as many labelled rows.
    baseline
        The last published run of another date, if there is one.
    scores, labels
        Drift against the baseline; `None` if there is nothing to compare.
    samples
        Label, or row error as text, to rows. Shown on the page and the terminal, never in logs or JSON.
    judged, judged_before
        Figures of the pairs that people judged, of this run and of the runs before; `None` without `--judged`.
    explanations
        Why some of the samples have their scores. Shown on the page.
    """

    rows_in: int
    pairs: PairCounts
    summary: Summary
    info: ModelInfo
    baseline: Baseline | None
    scores: Drift | None
    labels: Drift | None
    outcomes: tuple[Outcome, ...]
    publish_anyway: bool
    samples: Mapping[str, list[SampleRow]] = field(default_factory=dict)
    judged: JudgedFigures | None = None
    judged_before: tuple[JudgedRun, ...] = ()
    explanations: Mapping[SampleRow, Explanation] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Broken gates of level `fail`."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")

    @property
    def warned(self) -> tuple[Outcome, ...]:
        """Broken gates of level `warn`."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "warned")

    @property
    def held(self) -> bool:
        """Whether the labels must not be published."""
        return bool(self.failed) and not self.publish_anyway

    @property
    def verdict(self) -> Verdict:
        """What happens to the labels."""
        if self.failed:
            return "published anyway" if self.publish_anyway else "held back"
        return "published with warnings" if self.warned else "published"


@dataclass(frozen=True)
class RunReport:
    """The result of one run.

    Attributes
    ----------
    output
        The partition; if the run was held back, where it would have been.
    started_at, finished_at
        With time zone.
    seconds
        Duration of each step, and `total`.
    settings, versions
        Name to value; no secrets.
    page
        Path of the HTML page.
    """

    run_id: str
    run_date: date
    output: str
    started_at: datetime
    finished_at: datetime
    assessment: Assessment
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    throughput: tuple[Point, ...] = ()
    partitions: Partitions | None = None
    page: str = ""

    @property
    def published(self) -> bool:
        """Whether the labels are published."""
        return not self.assessment.held

    @property
    def rows_per_second(self) -> float | None:
        """Rows of the input per second of the scoring step."""
        return _rate(self.assessment.rows_in, self.seconds.get("score"))

    @property
    def pairs_per_second(self) -> float | None:
        """Scored pairs per second of the scoring step."""
        return _rate(self.assessment.pairs.new, self.seconds.get("score"))

    def event(self) -> dict[str, Any]:
        """Return the fields of the log event `run finished`: a part of `as_dict`, without queries and titles."""
        whole = self.as_dict()
        names = "run_id run_date verdict output rows pairs labels errors seconds rows_per_second pairs_per_second model"
        broken = [outcome.sentence for outcome in (*self.assessment.failed, *self.assessment.warned)]
        return {name: whole[name] for name in names.split()} | {"gates_broken": broken, "report": self.page}

    def as_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds; `docs/report.md` explains every key."""
        assessment, summary, info = self.assessment, self.assessment.summary, self.assessment.info
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            "run_date": self.run_date.isoformat(),
            "verdict": assessment.verdict,
            "published": self.published,
            "output": self.output,
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "finished_at": self.finished_at.isoformat(timespec="seconds"),
            "rows": {
                "in": assessment.rows_in,
                "out": summary.rows,
                "labelled": summary.labelled,
                "rejected": summary.rejected,
                "failed": summary.failed,
            },
            "pairs": assessment.pairs._asdict(),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "rows_per_second": self.rows_per_second,
            "pairs_per_second": self.pairs_per_second,
            "model": {
                "name": info.ref.name,
                "version": info.ref.version,
                "sha256": info.sha256,
                "threshold": info.threshold,
                "labels": list(info.labels),
            },
            "labels": {name: summary.labels.get(name, 0) for name in (*info.labels, *summary.labels)},
            "errors": {str(row_error): count for row_error, count in summary.row_errors.items()},
            "scores": {"edges": [round(edge / BINS, 4) for edge in range(BINS + 1)], "rows": list(summary.histogram)},
            "drift": self._drift(),
            "judged": None if assessment.judged is None else asdict(assessment.judged),
            "gates": [
                {
                    "name": outcome.gate.name,
                    "level": outcome.gate.level,
                    "state": outcome.state,
                    "value": outcome.value,
                    "expected": "at most" if outcome.gate.at_most else "at least",
                    "bound": outcome.gate.bound,
                    "note": outcome.note,
                }
                for outcome in assessment.outcomes
            ],
            "throughput": [point.__dict__ for point in self.throughput],
            "partitions": None
            if self.partitions is None
            else {
                "tasks": self.partitions.tasks,
                "median_seconds": self.partitions.median_seconds,
                "slowest": [task.__dict__ for task in self.partitions.slowest],
            },
            "settings": dict(self.settings),
            "versions": dict(self.versions),
        }

    def _drift(self) -> dict[str, Any] | None:
        assessment, before = self.assessment, self.assessment.baseline
        if before is None:
            return None
        return {
            "against": {"run_date": before.run_date.isoformat(), "run_id": before.run_id, "model": before.model},
            **{
                name: None
                if drift is None
                else {"psi": round(drift.psi, 6), "by_chance": round(drift.by_chance, 6), "reading": drift.reading}
                for name, drift in (("scores", assessment.scores), ("labels", assessment.labels))
            },
        }

    def print(self, console: Console | None = None) -> None:
        """Print the report: the result and, on a terminal, sample rows."""
        console = console or Console()
        console.print(_headline(self))
        console.print(_facts(self))
        if not console.is_terminal:
            return  # logs hold no texts
        samples = (row for rows in self.assessment.samples.values() for row in rows)
        shown = [row for row in samples if row.score is not None and row.query and row.title]
        if shown:
            console.print(_sample_table(sorted(shown, key=lambda row: row.score or 0.0)))


def _headline(report: RunReport) -> Text:
    assessment = report.assessment
    mark, style = (
        ("✗", "bold red") if assessment.failed else ("!", "bold yellow") if assessment.warned else ("✓", "bold green")
    )
    return Text.assemble((f"{mark} ", style), (f"{report.run_date} {assessment.verdict}", "bold"))


def _facts(report: RunReport) -> Table:
    assessment, summary, pairs = report.assessment, report.assessment.summary, report.assessment.pairs
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    verb = "published" if report.published else "labelled"
    unlabelled = summary.rejected + summary.failed
    rows = f"{summary.rows:,} of {assessment.rows_in:,} {verb}"
    facts.add_row("rows", rows + (f", {unlabelled:,} of them without a label" if unlabelled else ""))
    known = pairs.distinct - pairs.new
    facts.add_row(
        "pairs", f"{pairs.distinct:,} distinct, {pairs.new:,} scored" + (f", {known:,} known" if known else "")
    )
    shares = (f"{name} {count:,} ({count / summary.labelled:.1%})" for name, count in summary.labels.items())
    facts.add_row("labels", Text(", ".join(shares) or "none"))
    for row_error, count in list(summary.row_errors.items())[:5]:
        facts.add_row(
            "no label", Text(f"{count:,} {'row' if count == 1 else 'rows'}: {escape_control(str(row_error))}")
        )
    if len(summary.row_errors) > 5:
        facts.add_row("", f"and {len(summary.row_errors) - 5} more reasons")
    for outcome in (*assessment.failed, *assessment.warned):
        colour = "red" if outcome.state == "failed" else "yellow"
        facts.add_row(Text(outcome.state, style=colour), Text(outcome.sentence))
    if (
        assessment.baseline is not None
        and assessment.scores is not None
        and assessment.scores.reading != "too few rows"
    ):
        facts.add_row(
            "drift",
            f"PSI {assessment.scores.psi:.3f}, {assessment.scores.reading}, against {assessment.baseline.run_date}",
        )
    if assessment.judged is not None:
        facts.add_row("judged", str(assessment.judged))
    facts.add_row("model", Text(str(assessment.info.ref)))
    total = report.seconds.get("total", 0.0)
    speed = f", {report.rows_per_second:,.0f} rows/s while scoring" if report.rows_per_second else ""
    facts.add_row("time", f"{duration(total)}{speed}")
    facts.add_row("labels in" if report.published else "not in", Text(report.output, overflow="fold"))
    facts.add_row("report", Text(report.page, overflow="fold"))
    return facts


def _sample_table(rows: list[SampleRow]) -> Table:
    table = Table(title="sample rows", title_justify="left", title_style="dim", expand=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("label", no_wrap=True)
    table.add_column("query", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("title", overflow="ellipsis", no_wrap=True, ratio=2)
    step = max(1, len(rows) // _SAMPLE_ROWS)
    for row in rows[::step][:_SAMPLE_ROWS]:
        cells = (
            Text(str(row.label)),
            Text(escape_control((row.query or "")[:200])),
            Text(escape_control((row.title or "")[:200])),
        )
        table.add_row(f"{row.score:.4f}", *cells)
    return table


def _rate(count: int, seconds: float | None) -> float | None:
    return round(count / seconds, 1) if seconds else None
