"""The cards about the labels: their shares, scores, drift and quality gates."""

from __future__ import annotations

from collections.abc import Mapping

from qtr_runtime.html.charts import Slice, histogram, stacked_bar
from qtr_runtime.html.components import NOTHING, card, icon, num_head
from qtr_runtime.html.markup import Markup, join, tag
from spark_jobs.quality.baseline import Baseline
from spark_jobs.quality.summary import BINS
from spark_jobs.report.charts import psi_scale
from spark_jobs.report.label_colours import label_colour, label_order
from spark_jobs.report.run_report import RunReport


def labels(report: RunReport) -> Markup:
    """Show how many rows have each label, in this run and in the baseline."""
    summary, before = report.assessment.summary, report.assessment.baseline
    shares = [
        Slice(name, count, f"{count / max(1, summary.labelled):.1%}", label_colour(report, name))
        for name, count in sorted(summary.labels.items(), key=lambda item: label_order(report, item[0]))
    ]
    total_before = 0 if before is None else sum(before.labels.values())
    rows = [
        tag(
            "tr",
            tag("td", tag("i", class_="key", style=f"background:{part.colour}"), " ", part.name),
            tag("td", f"{part.value:,}", class_="num"),
            tag("td", part.shown, class_="num"),
            tag("td", _share_before(part.name, before.labels, total_before), class_="num")
            if before is not None
            else None,
        )
        for part in shares
    ]
    heads = [tag("th", "Label", scope="col"), num_head("Rows"), num_head("Share")]
    if before is not None:
        heads.append(num_head(f"On {before.run_date}"))
    return card(
        "Labels",
        f"{summary.labelled:,} rows have a label." if summary.labels else "No row has a label.",
        stacked_bar(shares, "Share of rows by label") if shares else None,
        None if before is None else tag("div", _before_bar(report, before), class_="before"),
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)) if shares else None,
    )


def _before_bar(report: RunReport, before: Baseline) -> Markup:
    total = max(1, sum(before.labels.values()))
    slices = [
        Slice(name, count, f"{count / total:.1%}", label_colour(report, name))
        for name, count in sorted(before.labels.items(), key=lambda item: label_order(report, item[0]))
    ]
    return join(tag("span", before.run_date.isoformat(), class_="note"), stacked_bar(slices, f"On {before.run_date}"))


def scores(report: RunReport) -> Markup:
    """Show the histogram of the scores and the threshold."""
    summary, info = report.assessment.summary, report.assessment.info
    colours = [
        label_colour(report, info.labels[-1] if (number + 0.5) / BINS >= info.threshold else info.labels[0])
        if info.labels
        else "var(--accent)"
        for number in range(BINS)
    ]
    chart = histogram(
        summary.histogram,
        colours,
        label=f"Histogram of {summary.labelled:,} scores from 0 to 1, threshold {info.threshold:g}",
        threshold=info.threshold,
    )
    return card("Scores", "Rows by score, in the colour of their label.", chart, _bins(summary.histogram))


def drift(report: RunReport) -> Markup:
    """Show how far scores and labels are from those of the baseline."""
    assessment, before = report.assessment, report.assessment.baseline
    title = "Drift"
    if before is None:
        return card(title, "There is no published run to compare with.", wide=True)
    other = "" if before.model == str(assessment.info.ref) else f", which model {before.model} labelled"
    chart = None
    if assessment.scores is not None:
        # Shares are compared, so the baseline is drawn as if it had as many rows.
        factor = sum(assessment.summary.histogram) / sum(before.histogram)
        chart = join(
            histogram(
                assessment.summary.histogram,
                ["var(--step-1)"] * BINS,
                label=f"Histogram of scores of {report.run_date} and, as an outline, of {before.run_date}",
                before=[count * factor for count in before.histogram],
            ),
            tag(
                "ul",
                tag("li", tag("i", class_="key", style="background:var(--step-1)"), f"{report.run_date}"),
                tag("li", tag("i", class_="key line"), f"{before.run_date}, scaled to as many rows"),
                class_="legend",
            ),
        )
    return card(
        title,
        f"Population stability index against {before.run_date}{other}.",
        tag(
            "div",
            tag("div", psi_scale("Scores", assessment.scores), psi_scale("Labels", assessment.labels), class_="scales"),
            tag("div", chart),
            class_="drift",
        ),
        wide=True,
    )


def gates(report: RunReport) -> Markup:
    """Show the result of each quality gate."""
    rows = []
    for outcome in report.assessment.outcomes:
        gate = outcome.gate
        rows.append(
            tag(
                "tr",
                tag("td", tag("span", icon(outcome.state), outcome.state, class_=f"state {outcome.state}")),
                tag("td", tag("span", gate.name, class_="gate-name"), tag("span", gate.what, class_="note")),
                tag(
                    "td",
                    NOTHING if outcome.value is None else outcome.shown,
                    tag("span", gate.expected, class_="note"),
                    class_="num",
                ),
                tag("td", gate.level, class_="optional"),
                tag("td", tag("span", outcome.note, class_="note"), class_="optional"),
            )
        )
    heads = [tag("th", "State", scope="col"), tag("th", "Gate", scope="col"), num_head("Measured")]
    heads += [
        tag("th", "If broken", scope="col", class_="optional"),
        tag("th", "Note", scope="col", class_="optional"),
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return card("Quality gates", "What is checked before the labels are published.", table, wide=True)


def _bins(counts: tuple[int, ...]) -> Markup:
    rows = (
        tag("tr", tag("td", f"{number / BINS:.2f} to {(number + 1) / BINS:.2f}"), tag("td", f"{count:,}", class_="num"))
        for number, count in enumerate(counts)
    )
    heads = tag("thead", tag("tr", tag("th", "Score", scope="col"), num_head("Rows")))
    return tag("details", tag("summary", "The numbers"), tag("table", heads, tag("tbody", *rows)))


def _share_before(label: str, counts: Mapping[str, int], total: int) -> str:
    return f"{counts.get(label, 0) / total:.1%}" if total else NOTHING
