"""The throughput estimate ignores single pauses, expires, and is always measured again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_server.core.queue import WorkQueue
from grpc_server.core.throughput import ThroughputEstimator
from grpc_server.core.work import DropReason, Lane, Work
from relevance_model import Pairs

PAIRS = Pairs.from_columns(["q"], ["t"])


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def seen(clock: Clock, *seconds: float) -> ThroughputEstimator:
    throughput = ThroughputEstimator(clock)
    for each in seconds:
        throughput.observe(100, each)
    return throughput


def test_there_is_no_estimate_until_a_few_batches_are_done() -> None:
    assert seen(Clock()).seconds_for(1000) == 0.0
    assert seen(Clock(), 1.0).seconds_for(1000) == 0.0
    assert seen(Clock(), 1.0, 1.0, 1.0).seconds_for(100) == pytest.approx(1.0)


def test_the_estimate_follows_a_lasting_change() -> None:
    assert seen(Clock(), *[1.0] * 9, *[3.0] * 5).seconds_for(100) == pytest.approx(3.0)


@given(st.permutations([8.0, 1.5, 1.5, *[0.001] * 6]))
def test_single_pauses_do_not_change_the_estimate(seconds: list[float]) -> None:
    assert seen(Clock(), *seconds).seconds_for(100) == pytest.approx(0.001)


def test_single_pairs_do_not_make_a_large_batch_look_slow() -> None:
    clock = Clock()
    throughput = ThroughputEstimator(clock)
    for _ in range(3):
        throughput.observe(10, 300e-6)
    assert throughput.seconds_for(32_768) < 0.25


def test_an_estimate_that_no_batch_confirms_expires() -> None:
    clock = Clock()
    throughput = seen(clock, 8.0, 8.0, 8.0)
    clock.now += 61.0
    assert throughput.seconds_for(100) == 0.0
    throughput.observe(100, 8.0)
    assert throughput.seconds_for(100) == 0.0


@pytest.mark.parametrize("callers", [1, 2, 16])
def test_an_estimate_from_pauses_alone_is_corrected_by_the_work_that_comes(callers: int) -> None:
    """Every call has 0.3 s, every batch takes a millisecond, and what was seen before said eight seconds."""
    clock = Clock()
    throughput = seen(clock, *[8.0] * 9)
    dropped: list[Work] = []
    queue = WorkQueue(
        max_tokens=1 << 20,
        batch_tokens=1 << 15,
        mixed_batch_tokens=1 << 11,
        throughput=throughput,
        on_drop=lambda work, reason: dropped.append(work) if reason is DropReason.DEADLINE else None,
        clock=clock,
    )
    for _ in range(5):
        for _ in range(callers):
            queue.offer([Work(PAIRS, 10, Lane.INTERACTIVE, deadline=clock.now + 0.3)])
        batch = queue.take()
        assert batch, "there is always something to learn from"
        clock.now += 0.001
        throughput.observe(sum(work.tokens for work in batch), 0.001)
    dropped.clear()
    works = [Work(PAIRS, 10, Lane.INTERACTIVE, deadline=clock.now + 0.3) for _ in range(callers)]
    for work in works:
        queue.offer([work])
    assert queue.take() == works
    assert dropped == []
