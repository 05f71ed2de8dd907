"""The window: order, bounds and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_client import ordered_window


@given(st.permutations(range(6)), st.integers(1, 4))
def test_results_come_in_the_order_of_the_calls_whoever_finishes_first(finish: list[int], in_flight: int) -> None:
    turns = [threading.Event() for _ in finish]
    first = {call: position for position, call in enumerate(finish)}

    def call(number: int) -> int:
        # Waits for the calls that must finish before it, as far as they can run at all within the window.
        for other in range(max(0, number - in_flight + 1), number):
            if first[other] < first[number]:
                turns[other].wait()
        turns[number].set()
        return number

    calls = ((lambda number=number: call(number)) for number in range(6))
    assert list(ordered_window(calls, in_flight)) == list(range(6))


def test_no_more_than_the_window_run_or_wait() -> None:
    lock = threading.Lock()
    running, most, taken = 0, 0, 0
    barrier = threading.Barrier(3)

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait()  # passes only when three run at the same time
        with lock:
            running -= 1

    def calls() -> Iterator[Callable[[], None]]:
        nonlocal taken
        for _ in range(60):
            taken += 1
            yield call

    done = 0
    for _ in ordered_window(calls(), 3):
        done += 1
        assert taken <= done + 4 * 3
    assert (done, most) == (60, 3)


def test_one_slow_call_does_not_hold_up_those_behind_it() -> None:
    others = threading.Semaphore(0)

    def slow() -> int:
        for _ in range(7):  # four windows' worth, less itself
            assert others.acquire()
        return 0

    def quick(number: int) -> int:
        others.release()
        return number

    calls: list[Callable[[], int]] = [slow, *(partial(quick, number) for number in range(1, 20))]
    assert list(ordered_window(iter(calls), 2)) == list(range(20))


def test_the_first_failure_ends_the_rest() -> None:
    stop = threading.Event()
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("the second")
        return number

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(1000):
            yield partial(call, number)

    window = ordered_window(calls(), 2, stop)
    assert next(window) == 0
    with pytest.raises(ValueError, match="the second"):
        list(window)
    assert stop.is_set()
    assert len(begun) <= 4


def test_leaving_early_ends_the_rest() -> None:
    stop = threading.Event()
    window = ordered_window(iter([lambda: 1, lambda: 2, lambda: 3]), 1, stop)
    assert next(window) == 1
    window.close()
    assert stop.is_set()


def test_nothing_to_call_gives_nothing() -> None:
    assert list(ordered_window([], 4)) == []
