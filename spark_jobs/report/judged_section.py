"""The card of the judged pairs: this run's figures beside those of the runs before."""

from __future__ import annotations

from qtr_runtime.html.components import NOTHING, card, num_head
from qtr_runtime.html.markup import Markup, tag
from spark_jobs.quality.judged import JudgedFigures
from spark_jobs.report.run_report import RunReport


def judged_pairs(report: RunReport) -> Markup | None:
    """Show precision, recall and ROC AUC of the judged pairs, this run's first."""
    figures = report.assessment.judged
    if figures is None:
        return None
    title = "Judged pairs"
    if not figures.pairs:
        return card(title, f"None of the {figures.known:,} judged pairs has a label in this run.", wide=True)
    rows = [_row(f"{report.run_date}", str(report.assessment.info.ref), figures, bold=True)]
    rows += [_row(f"{run.run_date}", run.model, run.figures) for run in report.assessment.judged_before]
    heads = [tag("th", "Run date", scope="col"), tag("th", "Model", scope="col", class_="optional")]
    heads += [num_head(name) for name in ("Pairs", "Precision", "Recall", "ROC AUC")]
    return card(
        title,
        f"How right the labels are on {figures.pairs:,} of {figures.known:,} pairs that people judged. Runs may differ "
        "in which of these pairs they have.",
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
        wide=True,
    )


def _row(day: str, model: str, figures: JudgedFigures, *, bold: bool = False) -> Markup:
    shares = (figures.precision, figures.recall, figures.auc)
    return tag(
        "tr",
        tag("td", tag("b", day) if bold else day),
        tag("td", model, class_="optional"),
        tag("td", f"{figures.pairs:,}", class_="num"),
        *(tag("td", NOTHING if share is None else f"{share:.3f}", class_="num") for share in shares),
    )
