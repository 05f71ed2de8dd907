"""What labelled rows look like as a whole, counted from the rows themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F  # noqa: N812

from spark_jobs.columns import column
from spark_jobs.scoring.schema import INVALID_ARGUMENT, OK

BINS = 20
"""Bins of equal width that scores, 0 to 1, are counted in; the last one holds 1."""

_SAMPLES = 6
_SHOWN_CHARACTERS = 300
_REASONS = 50
_OTHER = "other reasons"

Item = TypeVar("Item")


class SampleRow(NamedTuple):
    """One labelled row, to look at. Texts are other people's: escape them."""

    query: str | None
    title: str | None
    score: float | None
    label: str | None


class Problem(NamedTuple):
    """Why rows have no label."""

    status: str
    reason: str

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


@dataclass(frozen=True)
class Summary:
    """Counts of labelled rows.

    Attributes
    ----------
    labels
        Label to number of rows; most frequent first, as are problems.
    problems
        Reason to number of rows without a label.
    histogram
        Rows with a score in each of `BINS` bins.
    picks
        Hashes of rows to show: some of each label, from low scores and high ones, and of each problem.
    """

    labels: dict[str, int]
    problems: dict[Problem, int]
    histogram: tuple[int, ...]
    picks: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """All rows."""
        return self.labelled + sum(self.problems.values())

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return sum(self.labels.values())

    @property
    def rejected(self) -> int:
        """Rows that cannot be scored, whoever is asked."""
        return sum(count for problem, count in self.problems.items() if problem.status == INVALID_ARGUMENT)

    @property
    def failed(self) -> int:
        """Rows on which the service failed."""
        return sum(self.problems.values()) - self.rejected


def summarise(labelled: DataFrame, query_column: str, title_column: str) -> Summary:
    """Count labelled rows by status, label, reason and score, in one Spark job.

    Parameters
    ----------
    labelled
        Has the columns of `spark_jobs.scoring.schema.RESULT_SPARK` and the two texts.
    query_column, title_column
        Names of the texts.
    """
    keys = ("status", "label", "reason", "bin")
    groups = (
        _rows(labelled, query_column, title_column)
        .groupBy(*keys)
        .agg(F.count(F.lit(1)).alias("rows"), F.min("hash").alias("first"), F.max("hash").alias("last"))
        .collect()
    )
    labels: Counter[str] = Counter()
    problems: Counter[Problem] = Counter()
    histogram = [0] * BINS
    for group in groups:
        if group["status"] == OK:
            labels[group["label"]] += group["rows"]
            histogram[group["bin"]] += group["rows"]
        else:
            problems[Problem(group["status"], group["reason"] or "no reason given")] += group["rows"]
    return Summary(dict(labels.most_common()), _first_reasons(problems), tuple(histogram), _picks(groups))


def samples(labelled: DataFrame, query_column: str, title_column: str, summary: Summary) -> dict[str, list[SampleRow]]:
    """Fetch a few rows for each label, spread over its scores, and for each problem, in one Spark job.

    Returns
    -------
    dict
        Label, or problem as text, to rows.
    """
    rows = _rows(labelled, query_column, title_column).where(F.col("hash").isin(list(summary.picks)))
    # One of each hash: texts can be made to have the same, and millions of such rows would fill the driver.
    groups = rows.groupBy("status", "label", "reason", "hash").agg(
        F.min(F.struct("query", "title", "score")).alias("row")
    )
    shown: dict[str, list[SampleRow]] = defaultdict(list)
    for row in groups.select("status", "label", "reason", "row.*").collect():
        key = row["label"] if row["status"] == OK else str(Problem(row["status"], row["reason"] or "no reason given"))
        shown[key].append(SampleRow(row["query"], row["title"], row["score"], row["label"]))
    ordered = (
        sorted(some, key=lambda row: (row.score or 0, row.query or "", row.title or "")) for some in shown.values()
    )
    return {key: _spread(some, _SAMPLES) for key, some in zip(shown, ordered, strict=True)}


def _rows(labelled: DataFrame, query_column: str, title_column: str) -> DataFrame:
    query, title = column(labelled, query_column), column(labelled, title_column)
    return labelled.select(
        _shown(query).alias("query"),
        _shown(title).alias("title"),
        F.xxhash64(query, title).alias("hash"),
        "score",
        "status",
        "label",
        # Sizes differ from row to row; what a person wants to know is how many texts were too long.
        F.regexp_replace("error", r"has \d+ bytes", "has too many bytes").alias("reason"),
        F.least(F.floor(F.col("score") * BINS), F.lit(BINS - 1)).cast("int").alias("bin"),
    )


def _shown(text: Column) -> Column:
    return F.substring(F.make_valid_utf8(text), 1, _SHOWN_CHARACTERS)


def _picks(groups: Sequence[Row]) -> tuple[int, ...]:
    """Choose the hashes of rows to show: from the bins of each label evenly, and from every problem."""
    of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for group in groups:
        of[group["status"], group["label"] or group["reason"] or ""].append(group)
    picks: set[int] = set()
    for some in of.values():
        bins = _spread(sorted(some, key=lambda group: group["bin"] or 0), _SAMPLES)
        picks.update(group[which] for group in bins for which in ("first", "last"))
    return tuple(sorted(picks))


def _spread(items: list[Item], most: int) -> list[Item]:
    """Take at most so many, evenly from first to last."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _first_reasons(problems: Counter[Problem]) -> dict[Problem, int]:
    first = dict(problems.most_common(_REASONS))
    for problem, count in problems.most_common()[_REASONS:]:
        other = Problem(problem.status, _OTHER)
        first[other] = first.get(other, 0) + count
    return first
