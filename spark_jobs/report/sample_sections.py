"""The cards that show sample rows, and the properties of the model."""

from __future__ import annotations

from grpc_client import Explanation
from qtr_runtime.html.charts import bar
from qtr_runtime.html.components import card, shown_text
from qtr_runtime.html.markup import Markup, tag
from qtr_runtime.html.words import Word, coloured_text, largest
from spark_jobs.quality.summary import SampleRow
from spark_jobs.report.label_colours import label_colour, label_order
from spark_jobs.report.run_report import RunReport


def row_errors(report: RunReport) -> Markup:
    """Show each row error with its number of rows and examples."""
    assessment = report.assessment
    row_errors = assessment.summary.row_errors
    if not row_errors:
        return card("Rows without a label", "Every row has a label.", wide=True)
    groups = []
    for row_error, count in row_errors.items():
        shown = assessment.samples.get(str(row_error), [])
        head = tag("h3", row_error.reason)
        note = tag("p", f"{count:,} {'row' if count == 1 else 'rows'} · {row_error.status}", class_="note")
        groups.append(tag("div", head, note, tag("ul", *map(_sample, shown)), class_="row-error"))
    share = sum(row_errors.values()) / max(1, assessment.rows_in)
    return card(
        "Rows without a label",
        f"{sum(row_errors.values()):,} rows, {share:.2%} of the input. They are published too, with the reason in the "
        "column error.",
        tag("div", *groups, class_="samples"),
        wide=True,
        long=True,
    )


def label_samples(report: RunReport) -> Markup | None:
    """Show sample rows of each label."""
    assessment = report.assessment
    names = sorted(assessment.summary.labels, key=lambda name: label_order(report, name))
    groups = [
        tag(
            "div",
            tag("h3", tag("i", class_="key", style=f"background:{label_colour(report, name)}"), name),
            tag(
                "ul",
                *(
                    _sample(row, label_colour(report, name), assessment.explanations.get(row))
                    for row in assessment.samples.get(name, [])
                ),
            ),
        )
        for name in names
    ]
    if not groups:
        return None
    note = "From the lowest score of each label to the highest."
    if assessment.explanations:
        note += " Words on a green ground speak for relevance, words on an orange one against it."
    return card("Sample rows", note, tag("div", *groups, class_="samples"), wide=True, long=True)


def _sample(row: SampleRow, colour: str = "var(--quiet)", explanation: Explanation | None = None) -> Markup:
    query, title = shown_text(row.query), shown_text(row.title)
    if explanation is not None:
        query, title = _coloured(explanation)
    score = None if row.score is None else tag("div", f"{row.score:.3f}", bar(row.score, colour), class_="score")
    return tag(
        "li",
        score,
        tag("div", query, class_="query"),
        tag("div", title, class_="title"),
    )


def _coloured(explanation: Explanation) -> tuple[Markup, Markup]:
    """Return the two texts, their words coloured by what they add to the score."""
    query, title = (
        [Word(word.word, word.contribution, word.standard_error) for word in words]
        for words in (explanation.query, explanation.title)
    )
    scale = largest([*query, *title])
    return (
        coloured_text(query, scale, explanation.unread_query_words),
        coloured_text(title, scale, explanation.unread_title_words),
    )


def model(report: RunReport) -> dict[str, object]:
    """Return the properties of the model, as the server names them."""
    info = report.assessment.info
    return {
        "model": str(info.ref),
        "model sha256": info.sha256[:16],
        "threshold": f"{info.threshold:.4g}",
        "labels": info.labels,
    }
