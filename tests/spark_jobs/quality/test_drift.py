"""PSI: never negative, 0 for equal shares, finite however empty a bin is, and silent where chance explains it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.quality.drift import LEAST_SHARE, Drift, drift, label_drift, psi

histograms = st.integers(2, 20).flatmap(
    lambda bins: st.tuples(
        *(st.lists(st.integers(0, 10**9), min_size=bins, max_size=bins).filter(any) for _ in range(2))
    )
)


@given(histograms)
def test_psi_is_finite_never_negative_and_the_same_both_ways(pair: tuple[list[int], list[int]]) -> None:
    new, old = pair
    value = psi(new, old)
    assert 0 <= value < math.inf
    assert value == pytest.approx(psi(old, new), abs=1e-12)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any), st.integers(1, 1000))
def test_equal_shares_have_no_drift_whatever_their_size(counts: list[int], factor: int) -> None:
    assert psi(counts, [factor * count for count in counts]) == pytest.approx(0, abs=1e-12)


def test_psi_by_hand() -> None:
    assert psi([50, 50], [25, 75]) == pytest.approx(0.25 * math.log(2) + -0.25 * math.log(2 / 3))


def test_a_bin_that_comes_from_nothing_counts_as_the_least_share() -> None:
    expected = (0.5 - 1) * math.log(0.5) + (0.5 - LEAST_SHARE) * math.log(0.5 / LEAST_SHARE)
    assert psi([500, 500], [1000, 0]) == pytest.approx(expected)


@pytest.mark.parametrize(("new", "old"), [([1, 2], [1, 2, 3]), ([0, 0], [1, 2]), ([1, 2], [0, 0])])
def test_what_cannot_be_compared_has_no_drift(new: list[int], old: list[int]) -> None:
    assert drift(new, old) is None
    with pytest.raises(ValueError, match="compared"):
        psi(new, old)


@pytest.mark.parametrize(
    ("value", "by_chance", "reading"),
    [
        (0.0999, 0.0, "stable"),
        (0.1, 0.0, "moderate"),
        (0.25, 0.0, "moderate"),
        (0.2501, 0.0, "strong"),
        (0.2399, 0.06, "too few rows"),
        (0.2401, 0.06, "moderate"),
        (9.0, 2.0, "strong"),
    ],
)
def test_readings(value: float, by_chance: float, reading: str) -> None:
    assert Drift(value, by_chance).reading == reading


def test_small_runs_have_no_reading() -> None:
    few, many = drift([10] * 20, [12] * 20), drift([1000] * 20, [1200] * 20)
    assert few is not None
    assert many is not None
    assert (few.reading, many.reading) == ("too few rows", "stable")
    assert many.by_chance == pytest.approx(19 * (1 / 20_000 + 1 / 24_000))


def test_labels_are_compared_by_name() -> None:
    same = label_drift({"a": 900, "b": 100}, {"b": 1000, "a": 9000})
    assert same is not None
    assert same.psi == pytest.approx(0, abs=1e-12)
    new_label = label_drift({"a": 900, "c": 100}, {"a": 900, "b": 100})
    assert new_label is not None
    assert new_label.reading == "strong"
