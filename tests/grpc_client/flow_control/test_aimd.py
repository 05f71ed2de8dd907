"""The in-flight limit and the patience: pure arithmetic, against a service of a known capacity and at random."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client.flow_control.aimd import AimdLimit, Ticket
from grpc_client.flow_control.attempt_timeout import AdaptiveTimeout


def filled(limit: AimdLimit) -> list[Ticket]:
    tickets = []
    while limit.has_room:
        tickets.append(limit.begin())
    return tickets


def round_trip(limit: AimdLimit, capacity: int) -> int:
    """Fill the limit; the first `capacity` attempts are answered, the others refused. Return how many were tried."""
    tickets = filled(limit)
    for number, ticket in enumerate(tickets):
        if number < capacity:
            limit.answered(ticket)
        else:
            limit.refused(ticket)
    return len(tickets)


def test_it_doubles_each_round_trip_until_the_first_refusal_then_adds_one() -> None:
    limit = AimdLimit(1000)
    assert [round_trip(limit, 40) for _ in range(7)] == [1, 2, 4, 8, 16, 32, 64]
    assert round_trip(limit, 40) == 52  # 40 answers had still raised it, to 104, before it was halved
    limit = AimdLimit(1000)
    for _ in range(6):
        round_trip(limit, 1000)
    tickets = filled(limit)
    limit.refused(tickets[0])
    for ticket in tickets[1:]:
        limit.answered(ticket)
    assert [round_trip(limit, 1000) for _ in range(4)] == [32, 32, 33, 34]


def test_refusals_of_one_round_trip_count_once() -> None:
    limit = AimdLimit(64)
    for _ in range(6):
        round_trip(limit, 64)
    assert limit.current == 64
    for ticket in filled(limit):
        limit.refused(ticket)
    assert limit.current == 32


def test_it_does_not_grow_by_what_was_not_tried() -> None:
    limit = AimdLimit(64)
    for _ in range(4):
        round_trip(limit, 64)
    before = limit.current
    for _ in range(100):
        limit.answered(limit.begin())
    assert limit.current == before > 1


@given(st.integers(1, 50), st.integers(1, 30), st.integers(0, 2**32))
def test_it_settles_around_the_capacity(most: int, capacity: int, seed: int) -> None:
    del seed
    limit = AimdLimit(most)
    tried = [round_trip(limit, capacity) for _ in range(300)][150:]
    bound = min(most, capacity)
    assert max(tried) <= min(most, capacity + 2 + capacity)
    assert sum(tried) / len(tried) >= bound / 2


steps = st.lists(st.sampled_from(["begin", "answered", "refused", "abandoned"]), max_size=300)


@given(st.integers(1, 20), steps, st.randoms(use_true_random=False))
def test_whatever_happens_it_stays_within_its_bounds(most: int, doings: list[str], rng: random.Random) -> None:
    limit = AimdLimit(most)
    running: deque[Ticket] = deque()
    before_decrease = 0
    for doing in doings:
        if doing == "begin":
            if limit.has_room:
                running.append(limit.begin())
        elif running:
            rng.shuffle(running)
            ticket = running.popleft()
            current = limit.current
            if doing == "answered":
                limit.answered(ticket)
                assert current <= limit.current <= current + 1
            elif doing == "refused":
                limit.refused(ticket)
                assert current // 2 <= limit.current <= current
                before_decrease += limit.current < current
            else:
                limit.abandoned()
                assert limit.current == current
        assert 1 <= limit.current <= most
        assert limit.running == len(running)


@given(st.integers(1, 20), steps, st.randoms(use_true_random=False))
def test_whatever_happened_answers_raise_it_to_its_most(most: int, doings: list[str], rng: random.Random) -> None:
    limit = AimdLimit(most)
    running: list[Ticket] = []
    for doing in [*doings, *["refused"] * 20]:
        if limit.has_room:
            running.append(limit.begin())
        if doing != "begin" and running:
            getattr(limit, doing)(*[running.pop(rng.randrange(len(running)))][: doing != "abandoned"])
    for ticket in running:
        limit.answered(ticket)
    for _ in range(2 * most):  # round trips
        round_trip(limit, most)
    assert limit.current == most


def test_no_room_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="room for at least 1, not 0"):
        AimdLimit(0)


def test_patience_is_the_deadline_until_something_was_answered() -> None:
    patience = AdaptiveTimeout(30.0)
    assert patience.wait_seconds(0) == 30.0
    for _ in range(100):
        patience.observe(0.01)
    assert patience.wait_seconds(0) == 2.0
    assert [patience.wait_seconds(timeouts) for timeouts in range(1, 6)] == [4.0, 8.0, 16.0, 30.0, 30.0]


@given(st.floats(0.001, 20), st.lists(st.floats(0.9, 1.1), min_size=60, max_size=100))
def test_patience_is_longer_than_answers_that_vary_little(usual_seconds: float, factors: list[float]) -> None:
    patience = AdaptiveTimeout(60.0)
    for factor in factors:
        patience.observe(usual_seconds * factor)
    assert 1.1 * usual_seconds <= max(patience.wait_seconds(0), 2.0)
    assert patience.wait_seconds(0) <= max(2.0, 2.3 * usual_seconds)


@given(st.lists(st.floats(0, 1e9), max_size=30))
def test_patience_is_learnt_again_after_whatever_was_observed(strange: list[float]) -> None:
    patience = AdaptiveTimeout(30.0)
    for seconds in strange:
        patience.observe(seconds)
        assert 2.0 <= patience.wait_seconds(0) <= 30.0
    for _ in range(60):
        patience.observe(0.01)
    assert patience.wait_seconds(0) == 2.0


def test_a_pause_of_hours_is_forgotten_as_soon_as_one_of_a_deadline() -> None:
    paused, slow = AdaptiveTimeout(30.0), AdaptiveTimeout(30.0)
    paused.observe(36_000.0)
    slow.observe(30.0)
    for _ in range(60):
        paused.observe(0.01)
        slow.observe(0.01)
        assert paused.wait_seconds(0) == slow.wait_seconds(0)


def test_a_deadline_below_two_seconds_is_kept() -> None:
    patience = AdaptiveTimeout(0.3)
    patience.observe(0.1)
    assert patience.wait_seconds(0) == 0.3
