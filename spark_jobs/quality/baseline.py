"""The baseline of a run: the last published run of another date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from spark_jobs.storage.filesystem import HadoopFileSystem

REPORT, KEPT = "report.json", "published.json"
"""The newest report of a run date; and, if that run was held back, the report of what is published."""

_PREFIX = "run_date="
_MOST_ROWS = 1 << 63


@dataclass(frozen=True)
class Baseline:
    """The counts of a published run.

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
    """Return the published run with the newest earlier run date; if there is none, with the nearest later one.

    A backfill is therefore compared with the date before it, not with the newest one.

    Parameters
    ----------
    reports
        Folder of the reports, which need not exist.
    run_date
        The run date; a run is not compared with its own date.
    """
    dates = report_dates(storage, reports)
    earlier, later = ([day for day in dates if day < run_date], [day for day in dates if day > run_date])
    for day in (*reversed(earlier), *later):
        for name in (REPORT, KEPT):
            found = read_baseline(storage.read_text(f"{reports}/{_PREFIX}{day}/{name}"))
            # A run that was deliberately published without labels is no baseline.
            if found is not None and any(found.labels.values()):
                return found
    return None


def report_dates(storage: HadoopFileSystem, reports: str) -> list[date]:
    """Return the run dates that have a report, ascending."""
    return sorted(day for name in storage.names(reports) if (day := _date_of(name)) is not None)


def read_baseline(text: str) -> Baseline | None:
    """Read a `report.json`; `None` if its run was not published, or the text is no valid report."""
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
