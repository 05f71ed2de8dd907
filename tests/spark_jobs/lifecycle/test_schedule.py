"""The date of a run belongs to its schedule, not to the attempt."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from spark_jobs.lifecycle.schedule import scheduled_date
from spark_jobs.settings import LabelSettings

BEGUN = datetime(2026, 11, 27, 23, 50, tzinfo=UTC)
SECONDS = int(BEGUN.timestamp())
SUFFIXES = {
    "minutes": SECONDS // 60,
    "seconds": SECONDS,
    "millis": SECONDS * 10**3,
    "micros": SECONDS * 10**6,
    "nanos": SECONDS * 10**9 + 123_456_789,
}


@pytest.mark.parametrize("precision", SUFFIXES)
@pytest.mark.parametrize("minutes_later", [0, 9, 11, 24 * 60])
def test_every_attempt_has_the_date_of_the_schedule(precision: str, minutes_later: int) -> None:
    now = BEGUN + timedelta(minutes=minutes_later)
    assert scheduled_date(f"qtr-nightly-{SUFFIXES[precision]}", now) == date(2026, 11, 27)


@pytest.mark.parametrize(
    "name",
    ["", "by-hand", "by-hand-1", "qtr-20261127", "20261127", "-", "qtr-nightly-", "qtr-nightly-29\u0663", "x-99999999"],
)
def test_a_name_without_a_scheduled_time_gives_no_date(name: str) -> None:
    assert scheduled_date(name, BEGUN) is None


def test_a_date_that_is_given_comes_first_and_the_clock_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    yesterday = now - timedelta(days=1)
    flags = ["--input", "in", "--output", "out"]
    monkeypatch.setenv("QTR_SCHEDULED_JOB", f"qtr-nightly-{int(yesterday.timestamp()) // 60}")
    assert LabelSettings.parse(flags).run_date == yesterday.date()
    assert LabelSettings.parse([*flags, "--run-date", "2026-11-01"]).run_date == date(2026, 11, 1)
    monkeypatch.setenv("QTR_SCHEDULED_JOB", "by-hand")
    assert LabelSettings.parse(flags).run_date in {now.date(), datetime.now(UTC).date()}
