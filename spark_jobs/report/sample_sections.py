"""The cards that show rows to look at, and names with their values."""

from __future__ import annotations

from collections.abc import Mapping

from spark_jobs.quality.summary import SampleRow
from spark_jobs.report.charts import bar
from spark_jobs.report.components import card, label_colour, label_order
from spark_jobs.report.html import Markup, tag
from spark_jobs.report.run_report import RunReport


def problems(report: RunReport) -> Markup:
    """Show why rows have no label, each with examples."""
    judged = report.judged
    problems = judged.summary.problems
    if not problems:
        return card("Rows without a label", "There are none.", wide=True)
    groups = []
    for problem, count in problems.items():
        shown = judged.samples.get(str(problem), [])
        head = tag("h3", problem.reason)
        note = tag("p", f"{count:,} {'row' if count == 1 else 'rows'} · {problem.status}", class_="note")
        groups.append(tag("div", head, note, tag("ul", *map(_sample, shown)), class_="problem"))
    share = sum(problems.values()) / max(1, judged.rows_in)
    return card(
        "Rows without a label",
        f"{sum(problems.values()):,} rows, {share:.2%} of the input. They are published with the reason in their "
        "column error.",
        tag("div", *groups, class_="samples"),
        wide=True,
        long=True,
    )


def label_samples(report: RunReport) -> Markup | None:
    """Show a few rows of each label."""
    judged = report.judged
    names = sorted(judged.summary.labels, key=lambda name: label_order(report, name))
    groups = [
        tag(
            "div",
            tag("h3", tag("i", class_="key", style=f"background:{label_colour(report, name)}"), name),
            tag("ul", *(_sample(row, label_colour(report, name)) for row in judged.samples.get(name, []))),
        )
        for name in names
    ]
    if not groups:
        return None
    note = "From the lowest scores of each label to the highest."
    return card("Sample rows", note, tag("div", *groups, class_="samples"), wide=True, long=True)


def _sample(row: SampleRow, colour: str = "var(--quiet)") -> Markup:
    score = None if row.score is None else tag("div", f"{row.score:.3f}", bar(row.score, colour), class_="score")
    return tag(
        "li",
        score,
        tag("div", _text(row.query), class_="query"),
        tag("div", _text(row.title), class_="title"),
    )


def _text(value: str | None) -> Markup:
    if value is None:
        return tag("span", "null", class_="nothing")
    return tag("bdi", value) if value.strip() else tag("span", "empty" if not value else "blank", class_="nothing")


def name_values(title: str, note: str, values: Mapping[str, object]) -> Markup:
    """Show names with their values; those without a value are left out."""
    cells = (
        tag("div", tag("dt", name), tag("dd", _value(value)))
        for name, value in values.items()
        if value not in (None, [])
    )
    return card(title, note, tag("dl", *cells, class_="pairs"), wide=True)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def model(report: RunReport) -> dict[str, object]:
    """Name the model as the server does."""
    info = report.judged.info
    return {
        "model": str(info.ref),
        "model sha256": info.sha256[:16],
        "threshold": f"{info.threshold:.4g}",
        "labels": info.labels,
    }
