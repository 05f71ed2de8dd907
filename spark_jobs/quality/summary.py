"""Counts and samples of labelled rows, taken from the written rows."""

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
"""Bins of equal width for scores from 0 to 1; the last one includes 1."""

SHOWN_CHARACTERS = 300
"""Characters of a text that a sample row has."""

_SAMPLES = 6
_REASONS = 50
_OTHER = "other reasons"

Item = TypeVar("Item")


class SampleRow(NamedTuple):
    """A labelled row to show. Its texts are untrusted: escape them."""

    query: str | None
    title: str | None
    score: float | None
    label: str | None


class RowError(NamedTuple):
    """The status and reason of rows without a score."""

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
        Label to number of rows, most frequent first.
    row_errors
        Row error to number of rows, most frequent first.
    histogram
        Rows with a score in each of `BINS` bins.
    picks
        Hashes of rows to show: some of each label, from low scores and high ones, and of each row error.
    """

    labels: dict[str, int]
    row_errors: dict[RowError, int]
    histogram: tuple[int, ...]
    picks: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """All rows."""
        return self.labelled + sum(self.row_errors.values())

    @property
    def labelled(self) -> int:
        """Rows with a label."""
        return sum(self.labels.values())

    @property
    def rejected(self) -> int:
        """Rows that no server can score: null, empty or too long, for example."""
        return sum(count for row_error, count in self.row_errors.items() if row_error.status == INVALID_ARGUMENT)

    @property
    def failed(self) -> int:
        """Rows on which the service failed."""
        return sum(self.row_errors.values()) - self.rejected


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
    row_errors: Counter[RowError] = Counter()
    histogram = [0] * BINS
    for group in groups:
        if group["status"] == OK:
            labels[group["label"]] += group["rows"]
            histogram[group["bin"]] += group["rows"]
        else:
            row_errors[RowError(group["status"], group["reason"] or "no reason given")] += group["rows"]
    return Summary(dict(labels.most_common()), _first_reasons(row_errors), tuple(histogram), _picks(groups))


def samples(labelled: DataFrame, query_column: str, title_column: str, summary: Summary) -> dict[str, list[SampleRow]]:
    """Fetch a few rows for each label, spread over its scores, and for each row error, in one Spark job.

    Returns
    -------
    dict
        Label, or row error as text, to rows.
    """
    rows = _rows(labelled, query_column, title_column).where(F.col("hash").isin(list(summary.picks)))
    # One row for each hash: an attacker can make millions of texts with the same hash, which would fill the driver.
    groups = rows.groupBy("status", "label", "reason", "hash").agg(
        F.min(F.struct("query", "title", "score")).alias("row")
    )
    shown: dict[str, list[SampleRow]] = defaultdict(list)
    for row in groups.select("status", "label", "reason", "row.*").collect():
        key = row["label"] if row["status"] == OK else str(RowError(row["status"], row["reason"] or "no reason given"))
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
        # Sizes differ from row to row; without them, texts that are too long are one reason.
        F.regexp_replace("error", r"has \d+ bytes", "has too many bytes").alias("reason"),
        F.least(F.floor(F.col("score") * BINS), F.lit(BINS - 1)).cast("int").alias("bin"),
    )


def _shown(text: Column) -> Column:
    return F.substring(F.make_valid_utf8(text), 1, SHOWN_CHARACTERS)


def _picks(groups: Sequence[Row]) -> tuple[int, ...]:
    """Return the hashes of rows to show: evenly from the bins of each label, and from every row error."""
    of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for group in groups:
        of[group["status"], group["label"] or group["reason"] or ""].append(group)
    picks: set[int] = set()
    for some in of.values():
        bins = _spread(sorted(some, key=lambda group: group["bin"] or 0), _SAMPLES)
        picks.update(group[which] for group in bins for which in ("first", "last"))
    return tuple(sorted(picks))


def _spread(items: list[Item], most: int) -> list[Item]:
    """Return at most `most` items, evenly from first to last."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _first_reasons(row_errors: Counter[RowError]) -> dict[RowError, int]:
    first = dict(row_errors.most_common(_REASONS))
    for row_error, count in row_errors.most_common()[_REASONS:]:
        other = RowError(row_error.status, _OTHER)
        first[other] = first.get(other, 0) + count
    return first
