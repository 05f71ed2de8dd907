"""Rates and remaining times, by a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.progress.rate import RateEstimator


def test_rate_and_time_to_go() -> None:
    rate = RateEstimator(100.0)
    assert rate.read(100.0, 0, 1000).eta_seconds is None
    snapshot = rate.read(102.0, 200, 1000)
    assert (snapshot.rows, snapshot.rows_per_second, snapshot.eta_seconds) == (200, 100.0, 8.0)


def test_what_comes_before_the_first_row_slows_nothing_down() -> None:
    rate = RateEstimator(0.0)
    for second in range(1, 11):
        assert rate.read(second, 0, None).rows_per_second == 0
    assert rate.read(12.0, 200, 1000).rows_per_second == 100
    assert [(point.seconds, point.rows_per_second) for point in rate.history()] == [(10.0, 0.0), (12.0, 100.0)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = RateEstimator(0.0)
    for second in range(1, 101):
        rate.read(second, 10 * second, None)
    for second in range(1, 31):
        snapshot = rate.read(100 + second, 1000 + 100 * second, None)
    assert snapshot.rows_per_second == pytest.approx(100)
    assert snapshot.eta_seconds is None


def test_a_count_never_falls_and_the_total_is_never_below_it() -> None:
    rate = RateEstimator(0.0)
    rate.read(1.0, 50, 100)
    snapshot = rate.read(2.0, 20, 30)
    assert (snapshot.rows, snapshot.total, snapshot.eta_seconds) == (50, 50, 0.0)


def test_a_standstill_has_no_end_in_sight() -> None:
    rate = RateEstimator(0.0)
    for second in range(1, 60):
        snapshot = rate.read(second, 10, 100)
    assert (snapshot.rows_per_second, snapshot.eta_seconds) == (0.0, None)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=2000))
def test_the_history_is_bounded_and_adds_up_to_all_rows(steps: list[int]) -> None:
    rate, rows = RateEstimator(0.0), 0
    for second, more in enumerate(steps, 1):
        rows += more
        rate.read(second, rows, None)
    points = rate.history()
    assert len(points) <= 240
    lengths = [now.seconds - before for now, before in zip(points, [0.0, *(p.seconds for p in points)], strict=False)]
    assert all(length > 0 for length in lengths)
    total = sum(point.rows_per_second * length for point, length in zip(points, lengths, strict=True))
    assert total == pytest.approx(rows, abs=0.06 * len(steps) + 1e-6)
