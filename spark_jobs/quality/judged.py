"""How right a run's labels are on pairs that people judged, beside the runs before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.columns import column
from spark_jobs.errors import InputError
from spark_jobs.quality.baseline import KEPT, REPORT, report_dates
from spark_jobs.scoring.schema import OK
from spark_jobs.storage.filesystem import HadoopFileSystem

# The columns of a file that `qtr sample` wrote: rows of the night that a judged row stands for.
_PROBABILITY, _TIMES = "inclusion_probability", "times_drawn"
_RUNS = 7


@dataclass(frozen=True)
class JudgedFigures:
    """Figures of the labels of the judged pairs.

    Attributes
    ----------
    pairs
        Judged pairs that the run labelled.
    known
        All judged pairs.
    precision, recall
        Of the label *relevant*; `None` if no pair was labelled so, or is so.
    auc
        Area under the ROC curve of the scores; `None` unless some pairs are relevant and some are not.
    """

    pairs: int
    known: int
    precision: float | None
    recall: float | None
    auc: float | None

    def __str__(self) -> str:
        """Return the figures in words."""
        figures = (("precision", self.precision), ("recall", self.recall), ("ROC AUC", self.auc))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures if value is not None)
        return f"{shown or 'no figures'} on {self.pairs:,} of {self.known:,} judged pairs"


class JudgedRun(NamedTuple):
    """The figures of an earlier run."""

    run_date: date
    model: str
    figures: JudgedFigures


class Group(NamedTuple):
    """Judged pairs of one score, label and judgement, with the sum of their weights."""

    score: float
    said: bool
    relevant: bool
    weight: float


def judged_pairs(frame: DataFrame, relevant: Sequence[str], source: str) -> DataFrame:
    """Return the judged pairs of a table: `query`, `title`, `relevant` and `weight`, each pair once.

    Rows without a label are left out. In a sample of `qtr sample`, texts lose the apostrophe that guards them, and the
    weight is the number of rows that the pair stands for.

    Raises
    ------
    InputError
        If the table lacks the column `label`, has no judged row, or some rows of a sample lack their probability.
    """
    names = frame.columns
    if "label" not in names:
        raise InputError(f"--judged: {source} has no column 'label', it has {', '.join(map(repr, names))}")
    sampled = _PROBABILITY in names
    label = F.lower(F.trim(column(frame, "label").cast("string")))
    weight = _number(frame, _TIMES, 1.0) / _number(frame, _PROBABILITY) if sampled else F.lit(1.0)
    judged = frame.select(
        *(_unguarded(column(frame, name), sampled).alias(name) for name in ("query", "title")),
        label.isin([each.strip().lower() for each in relevant]).alias("relevant"),
        weight.alias("weight"),
        label.alias("label"),
    ).where(F.col("label") != "")
    rows = judged.agg(F.count(F.lit(1)).alias("all"), F.count("weight").alias("weighted")).first()
    if rows is None or not rows["all"]:
        raise InputError(f"--judged: {source} has no row with a label")
    if 0 < rows["weighted"] < rows["all"]:
        missing = rows["all"] - rows["weighted"]
        raise InputError(f"--judged: {source}: {missing} judged rows lack a number above 0 in {_PROBABILITY}")
    # One judgement of a pair: the majority of several.
    return judged.groupBy("query", "title").agg(
        (F.avg(F.col("relevant").cast("double")) >= 0.5).alias("relevant"),
        F.sum(F.coalesce("weight", F.lit(1.0))).alias("weight"),
    )


def measure_judged(
    labelled: DataFrame, judged: DataFrame, query_column: str, title_column: str, relevant_label: str
) -> JudgedFigures:
    """Measure the labels of the judged pairs, in one Spark job.

    Parameters
    ----------
    labelled
        Has the columns of `spark_jobs.scoring.schema.RESULT_SPARK` and the two texts.
    judged
        Of `judged_pairs`.
    query_column, title_column
        Names of the texts in `labelled`.
    relevant_label
        The label that means relevant.
    """
    keys = ["query", "title"]
    query, title = column(labelled, query_column).alias("query"), column(labelled, title_column).alias("title")
    scored = (
        labelled.where(F.col("status") == OK)
        .select(query, title, "score", "label")
        .join(F.broadcast(judged.select(*keys)), keys, "left_semi")
        .groupBy(*keys)
        .agg(F.first("score").alias("score"), F.first("label").alias("label"))
    )
    said = F.col("label") == relevant_label
    rows = (
        judged.join(scored, keys, "left")
        .groupBy("score", said.alias("said"), "relevant")
        .agg(F.sum("weight").alias("weight"), F.count(F.lit(1)).alias("pairs"))
        .collect()
    )
    groups = [Group(r["score"], r["said"], r["relevant"], r["weight"]) for r in rows if r["score"] is not None]
    found = sum(row["pairs"] for row in rows if row["score"] is not None)
    return figures_of(groups, found, sum(row["pairs"] for row in rows))


def figures_of(groups: Iterable[Group], pairs: int, known: int) -> JudgedFigures:
    """Return the figures of weighted pairs; pairs of equal score count half in the area under the ROC curve."""
    weights: dict[float, list[float]] = {}
    counted = dict.fromkeys(((said, relevant) for said in (False, True) for relevant in (False, True)), 0.0)
    for group in groups:
        counted[group.said, group.relevant] += group.weight
        weights.setdefault(group.score, [0.0, 0.0])[group.relevant] += group.weight
    positive = counted[False, True] + counted[True, True]
    negative = counted[False, False] + counted[True, False]
    above = area = 0.0
    for score in sorted(weights, reverse=True):
        irrelevant, relevant = weights[score]
        area += irrelevant * (above + relevant / 2)
        above += relevant
    return JudgedFigures(
        pairs=pairs,
        known=known,
        precision=_ratio(counted[True, True], counted[True, False] + counted[True, True]),
        recall=_ratio(counted[True, True], positive),
        auc=_ratio(area, positive * negative),
    )


def earlier_figures(storage: HadoopFileSystem, reports: str, run_date: date) -> tuple[JudgedRun, ...]:
    """Return the figures of the last published runs of earlier dates that have some, newest first."""
    found: list[JudgedRun] = []
    for day in sorted((day for day in report_dates(storage, reports) if day < run_date), reverse=True):
        for name in (REPORT, KEPT):
            run = _read(storage.read_text(f"{reports}/run_date={day}/{name}"), day)
            if run is not None:
                found.append(run)
                break
        if len(found) == _RUNS:
            break
    return tuple(found)


def _read(text: str, day: date) -> JudgedRun | None:
    try:
        report: dict[str, Any] = json.loads(text)
        judged, model = report["judged"], report["model"]
        if report["published"] is not True or judged is None:
            return None
        names = ("precision", "recall", "auc")
        shares = {name: None if judged[name] is None else float(judged[name]) for name in names}
        figures = JudgedFigures(int(judged["pairs"]), int(judged["known"]), **shares)
        return JudgedRun(day, f"{model['name']} {model['version']}", figures)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _number(frame: DataFrame, name: str, default: float | None = None) -> Column:
    """Return a column as a number above 0, as a spreadsheet may write it; null if it is none."""
    if name not in frame.columns:
        return F.lit(default)
    value = F.regexp_replace(F.trim(column(frame, name).cast("string")), ",", ".").try_cast("double")
    return F.when(value > 0, value)


def _unguarded(text: Column, sampled: bool) -> Column:
    return F.regexp_replace(text, "^'", "") if sampled else text


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
