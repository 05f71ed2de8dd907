"""The timeout of an attempt, estimated from the times of answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grpc_client.flow_control.attempt_timeout import AdaptiveTimeout


def test_the_timeout_is_the_deadline_until_the_first_answer() -> None:
    timeout = AdaptiveTimeout(30.0)
    assert timeout.timeout_seconds(0) == 30.0
    for _ in range(100):
        timeout.observe(0.01)
    assert timeout.timeout_seconds(0) == 2.0
    assert [timeout.timeout_seconds(timeouts) for timeouts in range(1, 6)] == [4.0, 8.0, 16.0, 30.0, 30.0]


@given(st.floats(0.001, 20), st.lists(st.floats(0.9, 1.1), min_size=60, max_size=100))
def test_the_timeout_is_longer_than_answers_that_vary_little(usual_seconds: float, factors: list[float]) -> None:
    timeout = AdaptiveTimeout(60.0)
    for factor in factors:
        timeout.observe(usual_seconds * factor)
    assert 1.1 * usual_seconds <= max(timeout.timeout_seconds(0), 2.0)
    assert timeout.timeout_seconds(0) <= max(2.0, 2.3 * usual_seconds)


@given(st.lists(st.floats(0, 1e9), max_size=30))
def test_the_timeout_is_learnt_again_after_whatever_was_observed(strange: list[float]) -> None:
    timeout = AdaptiveTimeout(30.0)
    for seconds in strange:
        timeout.observe(seconds)
        assert 2.0 <= timeout.timeout_seconds(0) <= 30.0
    for _ in range(60):
        timeout.observe(0.01)
    assert timeout.timeout_seconds(0) == 2.0


def test_a_pause_of_hours_is_forgotten_as_soon_as_one_of_a_deadline() -> None:
    paused, slow = AdaptiveTimeout(30.0), AdaptiveTimeout(30.0)
    paused.observe(36_000.0)
    slow.observe(30.0)
    for _ in range(60):
        paused.observe(0.01)
        slow.observe(0.01)
        assert paused.timeout_seconds(0) == slow.timeout_seconds(0)


def test_a_deadline_below_two_seconds_is_kept() -> None:
    timeout = AdaptiveTimeout(0.3)
    timeout.observe(0.1)
    assert timeout.timeout_seconds(0) == 0.3
