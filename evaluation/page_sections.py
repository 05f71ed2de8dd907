"""The cards of the page: the table of scorers, the charts, the parts, the worst errors."""

from __future__ import annotations

from itertools import groupby
from typing import Final

import numpy as np

from evaluation.measures import BM25, METRICS, SHARED_WORDS
from evaluation.metrics import Interval, Ranking
from evaluation.model_scores import ModelScores
from evaluation.results import AGAINST, MODEL, Evaluation
from qtr_runtime.html.charts import Dot, Line, bar, histogram, legend, lines
from qtr_runtime.html.components import NOTHING, card, num_head, shown_text
from qtr_runtime.html.markup import Markup, join, tag
from qtr_runtime.html.words import Word, coloured_text, largest

_COLOURS: Final = {
    MODEL: "var(--accent)",
    AGAINST: "var(--label-0)",
    SHARED_WORDS: "var(--label-1)",
    BM25: "var(--label-2)",
}
_RELEVANT: Final = "var(--label-1)"
_IRRELEVANT: Final = "var(--label-0)"
_BINS: Final = 20
_WORST: Final = 12
# Threshold, precision and recall of a few rows jump; a chart begins where there are some.
_FEWEST_SHARE: Final = 0.01


def scorer_table(evaluation: Evaluation) -> Markup:
    """Show every metric of every scorer."""
    table, names = evaluation.table, evaluation.table.scorers
    with_difference = evaluation.against is not None
    rows = []
    for metric, title in METRICS.items():
        intervals = [table.interval(name, metric) for name in names]
        if all(interval is None for interval in intervals):
            continue
        cells = [tag("td", _shown(interval), class_="num") for interval in intervals]
        if with_difference:
            cells.insert(2, tag("td", _shown(evaluation.difference(metric), sign="+"), class_="num"))
        rows.append(tag("tr", tag("td", _capital(title)), *cells))
    heads = [num_head(evaluation.title(name)) for name in names]
    if with_difference:
        heads.insert(2, num_head("Difference"))
    note = (
        "Each with its interval. Precision, recall and F1 are those of the labels; shared words and BM25 have a "
        "threshold that is best on other queries."
    )
    head = tag("thead", tag("tr", tag("th", "Metric", scope="col"), *heads))
    return card(
        "Scorers", note, tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll", tabindex=0), wide=True
    )


def curves(evaluation: Evaluation) -> list[Markup]:
    """Draw ROC and precision over recall of every scorer."""
    weights, relevant = evaluation.judged.weights, evaluation.judged.relevant
    roc, precision_recall = [], []
    for rows in evaluation.ranked:
        colour, title = _COLOURS[rows.name], evaluation.title(rows.name)
        ranking = Ranking(relevant, rows.scores)
        false, true = ranking.curve(weights)
        roc.append(Line(title, false.tolist(), true.tolist(), colour))
        _, precision, recall = ranking.cuts(weights)
        precision_recall.append(Line(title, recall.tolist(), precision.tolist(), colour))
    return [
        _tall(
            "ROC",
            "Up: share of the relevant rows found. Right: share of the irrelevant rows taken for relevant.",
            lines(roc, label="ROC curves", diagonal=True),
            legend(roc),
        ),
        _tall(
            "Precision and recall",
            "Up: precision. Right: recall.",
            lines(precision_recall, label="Precision over recall"),
            legend(precision_recall),
        ),
    ]


def reliability_chart(evaluation: Evaluation) -> Markup:
    """Draw the share of relevant rows over the score."""
    bins = evaluation.reliability()
    dots = [
        Dot(one.score, one.share, one.low, one.high, f"score {one.score:.2f}: {one.share:.1%} of {one.rows:,} relevant")
        for one in bins
    ]
    error = evaluation.table.interval(MODEL, "calibration_error")
    measured = "" if error is None else f" Expected calibration error {error}."
    note = f"Up: share of relevant rows. Right: mean score, by tenths of the score. On the line is right.{measured}"
    return _tall("Reliability", note, lines([], label="Share of relevant rows by score", dots=dots, diagonal=True))


def thresholds(evaluation: Evaluation) -> Markup:
    """Draw precision, recall and F1 over the threshold, and mark the present one."""
    judged, model = evaluation.judged, evaluation.model
    scores, precision, recall = Ranking(judged.relevant, model.scores).cuts(judged.weights)
    total = precision + recall
    f1 = np.divide(2.0 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    first = min(len(scores) - 1, int(_FEWEST_SHARE * len(judged)))
    order = np.arange(len(scores) - 1, first - 1, -1)
    x = scores[order].tolist()
    drawn = [
        Line("precision", x, precision[order].tolist(), "var(--accent)"),
        Line("recall", x, recall[order].tolist(), "var(--label-0)"),
        Line("F1", x, f1[order].tolist(), "var(--label-1)"),
    ]
    best, value = evaluation.best_f1()
    note = f"Right: threshold. The highest F1, {value:.3f}, is at {best:.3f}; expect less of it on other rows."
    chart = lines(
        drawn,
        label="Precision, recall and F1 by threshold",
        mark=(model.threshold, f"now {model.threshold:.3g}"),
    )
    return _tall("Threshold", note, chart, legend(drawn))


def histograms(evaluation: Evaluation) -> Markup:
    """Draw the scores of each grade."""
    judged, scores = evaluation.judged, evaluation.model.scores
    grades = dict.fromkeys(judged.grades)
    mean = {
        grade: float(judged.gain[[row for row, one in enumerate(judged.grades) if one == grade]].mean())
        for grade in grades
    }
    parts = []
    for grade in sorted(grades, key=lambda one: -mean[one]):
        rows = np.array([row for row, one in enumerate(judged.grades) if one == grade])
        colour = _RELEVANT if judged.relevant[rows[0]] else _IRRELEVANT
        counts, _ = np.histogram(scores[rows], bins=_BINS, range=(0.0, 1.0))
        head = tag("h3", tag("i", class_="key", style=f"background:{colour}"), " ", grade or "blank")
        chart = histogram(
            counts.tolist(),
            [colour] * _BINS,
            label=f"Histogram of the scores of {len(rows):,} rows with the label {grade}",
            threshold=evaluation.model.threshold,
        )
        parts.append(tag("div", head, tag("p", f"{len(rows):,} rows", class_="note"), chart, class_="flat"))
    note = "Judged rows by score, for each label; relevant labels and irrelevant ones have a colour each."
    return card("Scores by label", note, tag("div", *parts, class_="samples"), wide=True)


def slice_table(evaluation: Evaluation) -> Markup | None:
    """Show the model's metrics on parts of the rows."""
    if not evaluation.parts:
        return None
    rows: list[Markup] = []
    for kind, parts in groupby(evaluation.parts, key=lambda part: part.kind):
        rows.append(tag("tr", tag("th", kind, scope="rowgroup", colspan=7, class_="part")))
        for part in parts:
            auc = part.metrics.get("auc")
            shown = (_shown(part.metrics.get(name)) for name in ("auc", "precision", "recall"))
            rows.append(
                tag(
                    "tr",
                    tag("td", part.value),
                    tag("td", f"{part.rows:,}", class_="num"),
                    tag("td", f"{part.relevant / part.rows:.0%}", class_="num optional"),
                    tag("td", bar(0.0 if auc is None else auc.value), class_="grow optional"),
                    *(tag("td", words, class_="num") for words in shown),
                )
            )
    heads = [tag("th", "Part", scope="col"), num_head("Rows")]
    heads += [tag("th", "Relevant", scope="col", class_="num optional"), tag("th", "", class_="optional")]
    heads += [num_head("ROC AUC"), num_head("Precision"), num_head("Recall")]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    note = "Parts of ten judged rows or more. Relevant is the share of the judged rows."
    return card("Slices", note, tag("div", table, class_="scroll", tabindex=0), wide=True, long=True)


def worst_errors(evaluation: Evaluation) -> Markup:
    """Show the wrong labels that are furthest from the threshold."""
    judged, model = evaluation.judged, evaluation.model
    groups = []
    for relevant, title, colour in (
        (1, "Relevant, but labelled irrelevant", _IRRELEVANT),
        (0, "Irrelevant, but labelled relevant", _RELEVANT),
    ):
        wrong = int(((judged.relevant == relevant) & (model.predicted() != relevant)).sum())
        items = []
        for row in evaluation.worst(relevant, _WORST):
            query, shown = _explained(model, judged.queries[row], judged.titles[row])
            score = tag("div", f"{model.scores[row]:.3f}", bar(model.scores[row], colour), class_="score")
            shown = join(shown, tag("span", f" · {judged.grades[row]}"))
            items.append(tag("li", score, tag("div", query, class_="query"), tag("div", shown, class_="title")))
        head = join(tag("h3", title), tag("p", f"{wrong:,} of {(judged.relevant == relevant).sum():,}", class_="note"))
        groups.append(tag("div", head, tag("ul", *items)))
    note = "The wrong labels furthest from the threshold. Look at these first: some are errors of the judgements."
    if model.explain is not None:
        note += " Words on a green ground speak for relevance, words on an orange one against it."
    return card("Worst errors", note, tag("div", *groups, class_="samples"), wide=True, long=True)


def _explained(model: ModelScores, query: str, title: str) -> tuple[Markup, Markup]:
    """Return the two texts, their words coloured by what they contribute to the score if the model is here."""
    if model.explain is None:
        return shown_text(query), shown_text(title)
    found = model.explain(query, title)
    query_words, title_words = (
        [Word(word.word, word.contribution, word.standard_error) for word in words]
        for words in (found.query, found.title)
    )
    scale = largest([*query_words, *title_words])
    return (
        coloured_text(query_words, scale, found.unread_query_words),
        coloured_text(title_words, scale, found.unread_title_words),
    )


def _tall(title: str, note: str, *content: Markup) -> Markup:
    return card(title, note, tag("div", *content, class_="tall"))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _shown(interval: Interval | None, sign: str = "") -> Markup | str:
    if interval is None or np.isnan(interval.value):
        return NOTHING
    value = f"{interval.value:{sign}.3f}"
    if np.isnan(interval.low):
        return value
    return join(value, tag("span", f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}", class_="note"))
