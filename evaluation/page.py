"""The evaluation as one self-contained HTML page: no script, no request, no other file."""

from __future__ import annotations

from typing import Final

from evaluation.measures import METRICS
from evaluation.page_sections import (
    curves,
    histograms,
    reliability_chart,
    scorer_table,
    slice_table,
    thresholds,
    worst_errors,
)
from evaluation.results import MODEL, Evaluation
from qtr_runtime.html.charts import bar
from qtr_runtime.html.components import Icon, icon, name_values
from qtr_runtime.html.markup import Markup, join, tag
from qtr_runtime.html.page import page as framed

_HEADLINES: Final = ("auc", "average_precision", "precision", "recall", "f1")
_FEW_QUERIES: Final = 20
_TONES: Final[dict[str, tuple[str, Icon]]] = {
    "better": ("good", "passed"),
    "worse": ("bad", "failed"),
    "no difference shown": ("warn", "skipped"),
}


def page(evaluation: Evaluation, metric: str) -> str:
    """Render an evaluation; with another model, the verdict is by `metric`."""
    tone = _TONES[evaluation.verdict(metric)][0] if evaluation.against is not None else ""
    sections = [
        scorer_table(evaluation),
        *curves(evaluation),
        reliability_chart(evaluation),
        thresholds(evaluation),
        histograms(evaluation),
        slice_table(evaluation),
        worst_errors(evaluation),
        _facts(evaluation),
    ]
    body = join(_head(evaluation, metric), _numbers(evaluation), tag("main", *sections))
    return framed(f"{evaluation.model.title} · qtr evaluate", body, tone=tone)


def summary(evaluation: Evaluation) -> str:
    """Return what was measured on, in one or two sentences."""
    judged = evaluation.judged
    queries, relevant = int(judged.groups.max()) + 1, int(judged.relevant.sum())
    sentence = (
        f"{len(judged):,} judged {_count(len(judged), 'row')} of {queries:,} {_count(queries, 'query', 'queries')}, "
        f"{relevant:,} of them relevant"
    )
    if judged.weights is not None:
        share = (judged.weights * judged.relevant).sum() / judged.weights.sum()
        sentence += f"; a random sample that stands for {judged.weights.sum():,.0f} rows, {share:.1%} of them relevant"
    if judged.sample == "chosen":
        sentence += "; chosen, not drawn at random: the figures are of these rows only"
    if queries < _FEW_QUERIES:
        sentence += f". Fewer than {_FEW_QUERIES} queries: take no interval at its word, judge more queries"
    return f"{sentence}."


def _count(number: int, one: str, many: str = "") -> str:
    return one if number == 1 else many or f"{one}s"


def _head(evaluation: Evaluation, metric: str) -> Markup:
    verdict = None
    sentences = [summary(evaluation)]
    difference = evaluation.difference(metric)
    if difference is not None:
        words = evaluation.verdict(metric)
        verdict = tag("p", icon(_TONES[words][1]), words.capitalize(), class_="verdict")
        sentences.append(
            f"{METRICS[metric]} less that of {evaluation.title('against')}: {difference.value:+.3f}, between "
            f"{difference.low:+.3f} and {difference.high:+.3f}."
        )
    return tag(
        "header",
        tag("p", "Query-title relevance · evaluation on judged pairs", class_="eyebrow"),
        tag("div", tag("h1", evaluation.model.title), verdict, class_="head"),
        tag("p", " ".join(sentences), class_="lede"),
    )


def _numbers(evaluation: Evaluation) -> Markup:
    cells = []
    for name in _HEADLINES:
        interval = evaluation.table.interval(MODEL, name)
        if interval is None or interval.value != interval.value:  # NaN: one class only
            continue
        cells.append(
            tag(
                "div",
                tag("dt", METRICS[name][0].upper() + METRICS[name][1:]),
                tag("dd", f"{interval.value:.3f}", class_="value"),
                tag("dd", f"{interval.low:.3f} to {interval.high:.3f}", class_="note"),
                tag("dd", bar(interval.value)),
            )
        )
    return tag("dl", *cells, class_="numbers")


def _facts(evaluation: Evaluation) -> Markup:
    judged, options = evaluation.judged, evaluation.options
    reasons = [f"{count:,} × {reason}" for reason, count in evaluation.unscored.items()]  # noqa: RUF001
    facts: dict[str, object] = {
        "judged file": evaluation.source,
        "rows without a label": judged.unjudged or None,
        "rows with an unreadable text": judged.unreadable or None,
        "rows without a score": "; ".join(reasons) or None,
        "model": evaluation.model.title,
        "model sha256": evaluation.model.sha256[:16],
        "threshold": f"{evaluation.model.threshold:.4g}",
        "intervals": f"{options.confidence:.0%}, {options.resamples:,} resamples of whole queries",
    }
    if evaluation.against is not None:
        facts |= {
            "compared with": evaluation.against.title,
            "its sha256": evaluation.against.sha256[:16],
            "its threshold": f"{evaluation.against.threshold:.4g}",
        }
    return name_values("What was measured", "The file, the models, and how intervals were computed.", facts)
