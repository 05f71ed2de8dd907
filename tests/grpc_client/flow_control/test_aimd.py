"""The limit on attempts in flight, against a service of a known capacity and at random."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client.flow_control.aimd import AimdLimit


def filled(limit: AimdLimit) -> list[int]:
    attempts = []
    while limit.has_room:
        attempts.append(limit.begin())
    return attempts


def round_trip(limit: AimdLimit, capacity: int) -> int:
    """Fill the limit; the first `capacity` attempts are answered, the others refused. Return how many were tried."""
    attempts = filled(limit)
    for number, attempt in enumerate(attempts):
        if number < capacity:
            limit.on_success(attempt)
        else:
            limit.on_dropped(attempt)
    return len(attempts)


def test_it_doubles_each_round_trip_until_the_first_refusal_then_adds_one() -> None:
    limit = AimdLimit(1000)
    assert [round_trip(limit, 40) for _ in range(7)] == [1, 2, 4, 8, 16, 32, 64]
    assert round_trip(limit, 40) == 52  # 40 answers had still raised it, to 104, before it was halved
    limit = AimdLimit(1000)
    for _ in range(6):
        round_trip(limit, 1000)
    attempts = filled(limit)
    limit.on_dropped(attempts[0])
    for attempt in attempts[1:]:
        limit.on_success(attempt)
    assert [round_trip(limit, 1000) for _ in range(4)] == [32, 32, 33, 34]


def test_refusals_of_one_round_trip_count_once() -> None:
    limit = AimdLimit(64)
    for _ in range(6):
        round_trip(limit, 64)
    assert limit.current == 64
    for attempt in filled(limit):
        limit.on_dropped(attempt)
    assert limit.current == 32


def test_it_does_not_grow_by_what_was_not_tried() -> None:
    limit = AimdLimit(64)
    for _ in range(4):
        round_trip(limit, 64)
    before = limit.current
    for _ in range(100):
        limit.on_success(limit.begin())
    assert limit.current == before > 1


@given(st.integers(1, 50), st.integers(1, 30), st.integers(0, 2**32))
def test_it_settles_around_the_capacity(max_limit: int, capacity: int, seed: int) -> None:
    del seed
    limit = AimdLimit(max_limit)
    tried = [round_trip(limit, capacity) for _ in range(300)][150:]
    bound = min(max_limit, capacity)
    assert max(tried) <= min(max_limit, capacity + 2 + capacity)
    assert sum(tried) / len(tried) >= bound / 2


steps = st.lists(st.sampled_from(["begin", "on_success", "on_dropped", "on_ignore"]), max_size=300)


@given(st.integers(1, 20), steps, st.randoms(use_true_random=False))
def test_whatever_happens_it_stays_within_its_bounds(max_limit: int, doings: list[str], rng: random.Random) -> None:
    limit = AimdLimit(max_limit)
    running: deque[int] = deque()
    before_decrease = 0
    for doing in doings:
        if doing == "begin":
            if limit.has_room:
                running.append(limit.begin())
        elif running:
            rng.shuffle(running)
            attempt = running.popleft()
            current = limit.current
            if doing == "on_success":
                limit.on_success(attempt)
                assert current <= limit.current <= current + 1
            elif doing == "on_dropped":
                limit.on_dropped(attempt)
                assert current // 2 <= limit.current <= current
                before_decrease += limit.current < current
            else:
                limit.on_ignore()
                assert limit.current == current
        assert 1 <= limit.current <= max_limit
        assert limit.running == len(running)


@given(st.integers(1, 20), steps, st.randoms(use_true_random=False))
def test_whatever_happened_answers_raise_it_to_its_most(max_limit: int, doings: list[str], rng: random.Random) -> None:
    limit = AimdLimit(max_limit)
    running: list[int] = []
    for doing in [*doings, *["on_dropped"] * 20]:
        if limit.has_room:
            running.append(limit.begin())
        if doing != "begin" and running:
            getattr(limit, doing)(*[running.pop(rng.randrange(len(running)))][: doing != "on_ignore"])
    for attempt in running:
        limit.on_success(attempt)
    for _ in range(2 * max_limit):  # round trips
        round_trip(limit, max_limit)
    assert limit.current == max_limit


def test_a_limit_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        AimdLimit(0)
