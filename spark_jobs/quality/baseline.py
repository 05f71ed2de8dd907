"""The night that tonight is compared with: the last one of another date that was published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from spark_jobs.storage.filesystem import HadoopFileSystem

REPORT, KEPT = "report.json", "published.json"
"""A date's newest report; and, if that one was held back, the report of what is published there."""

_PREFIX = "run_date="
_MOST_ROWS = 1 << 63


@dataclass(frozen=True)
class Baseline:
    """What is kept of an earlier night.

    Attributes
    ----------
    model
        Name and version of its model, as one text.
    rows
        Rows of its input.
    labels
        Label to number of rows.
    histogram
        Rows by score, in bins of equal width.
    """

    run_date: date
    run_id: str
    model: str
    rows: int
    labels: dict[str, int]
    histogram: tuple[int, ...]


def last_published(storage: HadoopFileSystem, reports: str, run_date: date) -> Baseline | None:
    """Find the newest earlier night that was published; if there is none, the nearest later one.

    A date that is run again for a backfill is so compared with the night before it, not with tomorrow's.

    Parameters
    ----------
    reports
        Folder of the reports, which need not exist.
    run_date
        Tonight, which is not compared with itself.
    """
    dates = sorted(day for name in storage.names(reports) if (day := _date_of(name)) is not None)
    earlier, later = ([day for day in dates if day < run_date], [day for day in dates if day > run_date])
    for day in (*reversed(earlier), *later):
        for name in (REPORT, KEPT):
            found = read_baseline(storage.read_text(f"{reports}/{_PREFIX}{day}/{name}"))
            # One that was published without a label, on purpose, is nothing to measure the next ones by.
            if found is not None and any(found.labels.values()):
                return found
    return None


def read_baseline(text: str) -> Baseline | None:
    """Read a report; `None` if it is of a night that was not published, or no report that can be compared."""
    try:
        report: dict[str, Any] = json.loads(text)
        if report["published"] is not True:
            return None
        labels = {str(label): _count(rows) for label, rows in report["labels"].items()}
        return Baseline(
            run_date=date.fromisoformat(report["run_date"]),
            run_id=str(report["run_id"]),
            model=f"{report['model']['name']} {report['model']['version']}",
            rows=_count(report["rows"]["in"]),
            labels=labels,
            histogram=tuple(_count(rows) for rows in report["scores"]["rows"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < _MOST_ROWS:
        raise ValueError(f"expected a number of rows, not {value!r}")
    return value


def _date_of(name: str) -> date | None:
    try:
        return date.fromisoformat(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
    except ValueError:
        return None
