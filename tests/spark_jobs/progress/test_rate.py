"""Rates and times to go, by a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.progress.rate import RateEstimator


def test_rate_and_time_to_go() -> None:
    pace = RateEstimator(100.0)
    assert pace.read(100.0, 0, 1000).eta_seconds is None
    reading = pace.read(102.0, 200, 1000)
    assert (reading.rows, reading.rows_per_seconds, reading.eta_seconds) == (200, 100.0, 8.0)


def test_what_comes_before_the_first_row_slows_nothing_down() -> None:
    pace = RateEstimator(0.0)
    for second in range(1, 11):
        assert pace.read(second, 0, None).rows_per_seconds == 0
    assert pace.read(12.0, 200, 1000).rows_per_seconds == 100
    assert [(point.seconds, point.rows_per_seconds) for point in pace.history()] == [(10.0, 0.0), (12.0, 100.0)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = RateEstimator(0.0)
    for second in range(1, 101):
        pace.read(second, 10 * second, None)
    for second in range(1, 31):
        reading = pace.read(100 + second, 1000 + 100 * second, None)
    assert reading.rows_per_seconds == pytest.approx(100)
    assert reading.eta_seconds is None


def test_a_count_never_falls_and_the_total_is_never_below_it() -> None:
    pace = RateEstimator(0.0)
    pace.read(1.0, 50, 100)
    reading = pace.read(2.0, 20, 30)
    assert (reading.rows, reading.total, reading.eta_seconds) == (50, 50, 0.0)


def test_a_standstill_has_no_end_in_sight() -> None:
    pace = RateEstimator(0.0)
    for second in range(1, 60):
        reading = pace.read(second, 10, 100)
    assert (reading.rows_per_seconds, reading.eta_seconds) == (0.0, None)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=2000))
def test_the_history_is_bounded_and_adds_up_to_all_rows(steps: list[int]) -> None:
    pace, rows = RateEstimator(0.0), 0
    for second, more in enumerate(steps, 1):
        rows += more
        pace.read(second, rows, None)
    points = pace.history()
    assert len(points) <= 240
    lengths = [now.seconds - before for now, before in zip(points, [0.0, *(p.seconds for p in points)], strict=False)]
    assert all(length > 0 for length in lengths)
    total = sum(point.rows_per_seconds * length for point, length in zip(points, lengths, strict=True))
    assert total == pytest.approx(rows, abs=0.06 * len(steps) + 1e-6)
