"""The report as one self-contained HTML page: no script, no request, no other file."""

from __future__ import annotations

from qtr_runtime.html.charts import bar
from qtr_runtime.html.components import icon, name_values
from qtr_runtime.html.markup import Markup, join, tag
from qtr_runtime.html.page import page as framed
from qtr_runtime.terminal import duration
from spark_jobs.quality.gates import State
from spark_jobs.report import judged_section, performance_sections, quality_sections, sample_sections
from spark_jobs.report.run_report import RunReport

_TONES: dict[str, tuple[str, State, str]] = {
    "published": ("good", "passed", "Published"),
    "published with warnings": ("warn", "warned", "Published, with warnings"),
    "published anyway": ("bad", "failed", "Published although a quality gate failed"),
    "held back": ("bad", "failed", "A quality gate failed: held back"),
}


def page(report: RunReport) -> str:
    """Render the report."""
    body = join(_head(report), _numbers(report), tag("main", *_sections(report)), _foot(report))
    tone = _TONES[report.assessment.verdict][0]
    return framed(f"{report.run_date} {report.assessment.verdict} · qtr label", body, tone=tone)


def _sections(report: RunReport) -> list[Markup | None]:
    return [
        quality_sections.labels(report),
        quality_sections.scores(report),
        judged_section.judged_pairs(report),
        quality_sections.drift(report),
        quality_sections.gates(report),
        performance_sections.throughput(report),
        performance_sections.seconds(report),
        performance_sections.partitions(report),
        sample_sections.row_errors(report),
        sample_sections.label_samples(report),
        name_values("Settings", "The flags and variables of the run, with defaults.", report.settings),
        name_values(
            "Versions", "The model and the programs that ran.", {**sample_sections.model(report), **report.versions}
        ),
    ]


def _head(report: RunReport) -> Markup:
    assessment, pairs = report.assessment, report.assessment.pairs
    _, state, words = _TONES[assessment.verdict]
    spent = duration(report.seconds.get("total", 0.0))
    sentences = [f"{assessment.rows_in:,} rows labelled by {assessment.info.ref} in {spent}."]
    known = pairs.distinct - pairs.new
    if known:
        sentences.append(
            f"{pairs.new:,} of {pairs.distinct:,} distinct pairs were new; the others had scores from earlier runs."
        )
    if report.rows_per_second:
        sentences.append(f"{report.rows_per_second:,.0f} rows per second while scoring.")
    if assessment.held:
        sentences.append("Nothing was published. The scores are kept, and another attempt uses them.")
    broken = [*assessment.failed, *assessment.warned]
    broken_gates = tag(
        "ul",
        *(
            tag(
                "li",
                tag("b", outcome.gate.name, class_="gate-name"),
                outcome.sentence.removeprefix(outcome.gate.name),
                ".",
            )
            for outcome in broken
        ),
    )
    return tag(
        "header",
        tag("p", "Query-title relevance · nightly run", class_="eyebrow"),
        tag(
            "div",
            tag("h1", f"{report.run_date:%A}, {report.run_date.day} {report.run_date:%B %Y}"),
            tag("p", icon(state), words, class_="verdict"),
            class_="head",
        ),
        tag("p", " ".join(sentences), class_="lede"),
        tag("div", broken_gates, class_="broken") if broken else None,
    )


def _numbers(report: RunReport) -> Markup:
    assessment, summary, pairs = report.assessment, report.assessment.summary, report.assessment.pairs
    rows = max(1, assessment.rows_in)
    before = assessment.baseline
    change = "no published run to compare with"
    if before is not None and before.rows:
        change = f"{_change(assessment.rows_in / before.rows - 1)} {before.run_date}"
    alarming = any(outcome.gate.name == "failed_rows" for outcome in assessment.failed)
    unlabelled = summary.rejected + summary.failed
    cells = [
        ("Rows in", assessment.rows_in, change, assessment.rows_in, ""),
        (
            "Rows out",
            summary.rows,
            f"{unlabelled:,} without a label" if unlabelled else "all with a label",
            summary.rows,
            "",
        ),
        ("Distinct pairs", pairs.distinct, f"{pairs.distinct / rows:.1%} of the rows", pairs.distinct, ""),
        ("New pairs", pairs.new, "scored by this run", pairs.new, ""),
        (
            "Failed",
            summary.failed,
            f"and {summary.rejected:,} rejected",
            summary.failed,
            "alarm" if alarming else "",
        ),
    ]
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", name),
                tag("dd", f"{value:,}", class_="value"),
                tag("dd", note, class_="note"),
                tag("dd", bar(share / rows, "var(--bad)" if alarm else "var(--accent)")),
                class_=alarm or None,
            )
            for name, value, note, share, alarm in cells
        ),
        class_="numbers",
    )


def _change(share: float) -> str:
    shown = f"{share:+.1%}"
    return "as many as on" if shown in ("+0.0%", "-0.0%") else f"{shown.replace('-', '−')} since"  # noqa: RUF001


def _foot(report: RunReport) -> Markup:
    place = "Published as " if report.published else "Not published: "
    return tag(
        "footer",
        tag("span", place, tag("code", report.output)),
        tag("span", "run ", tag("code", report.run_id)),
        tag("span", f"{report.started_at:%Y-%m-%d %H:%M:%S} to {report.finished_at:%H:%M:%S} UTC"),
    )
