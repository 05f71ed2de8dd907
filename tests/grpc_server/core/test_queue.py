"""The queue refuses early, batches by budget, drops what is of no use, and loses nothing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_server.core.work import DropReason, Lane, Work
from grpc_server.errors import UnavailableError
from tests.support.work_queue import QueueScene, work


def test_a_lone_piece_is_taken_at_once() -> None:
    scene = QueueScene()
    only = work()
    scene.queue.offer([only])
    assert scene.queue.take() == [only]


def test_a_batch_ends_at_the_token_budget() -> None:
    scene = QueueScene(batch_tokens=10)
    pieces = [work(tokens=4) for _ in range(5)]
    for piece in pieces:
        scene.queue.offer([piece])
    assert [scene.queue.take(), scene.queue.take(), scene.queue.take()] == [pieces[:2], pieces[2:4], pieces[4:]]


def test_a_source_with_much_work_delays_no_other() -> None:
    scene = QueueScene(batch_tokens=4)
    much = [work(source="a") for _ in range(20)]
    for piece in much:
        scene.queue.offer([piece])
    first, second = work(source="b"), work(source="b")
    scene.queue.offer([first])
    scene.queue.offer([second])
    assert scene.queue.take() == [much[0], first, much[1], second]
    taken = [piece for _ in range(5) for piece in scene.queue.take()]
    assert taken == much[2:]


def test_a_source_may_hold_a_quarter_of_its_lane() -> None:
    scene = QueueScene(max_tokens=100)
    scene.queue.offer([work(tokens=20, source="a")])
    with pytest.raises(
        UnavailableError, match="about 20 bulk tokens of this connection wait, the limit is 25"
    ) as refused:
        scene.queue.offer([work(tokens=6, source="a")])
    assert refused.value.retry_after == pytest.approx(20)
    scene.queue.offer([work(tokens=6, source="b")])
    scene.queue.take()
    scene.queue.offer([work(tokens=30, source="a")])  # as nothing of it waits


def test_a_piece_over_the_budget_goes_alone() -> None:
    scene = QueueScene(batch_tokens=10)
    large, small = work(tokens=50), work(tokens=1)
    scene.queue.offer([large])
    scene.queue.offer([small])
    assert scene.queue.take() == [large]
    assert scene.queue.take() == [small]


def test_over_the_limit_the_caller_gets_pushback() -> None:
    scene = QueueScene(max_tokens=40)
    scene.queue.offer([work(tokens=30)])
    with pytest.raises(UnavailableError, match="about 30 bulk tokens wait, the limit is 40") as refused:
        scene.queue.offer([work(tokens=11)])
    assert refused.value.retry_after == pytest.approx(30)
    scene.queue.offer([work(tokens=10)])
    assert scene.queue.tokens(Lane.BULK) == 40


def test_taken_work_frees_its_tokens() -> None:
    scene = QueueScene(max_tokens=10)
    scene.queue.offer([work(tokens=10)])
    scene.queue.take()
    scene.queue.offer([work(tokens=10)])
    assert scene.queue.tokens(Lane.BULK) == 10


def test_a_request_over_the_limit_is_accepted_when_nothing_waits() -> None:
    scene = QueueScene(max_tokens=10)
    scene.queue.offer([work(tokens=50)])
    assert len(scene.queue.take()) == 1


def test_the_parts_of_a_request_are_taken_in_together_or_not_at_all() -> None:
    scene = QueueScene(max_tokens=10)
    scene.queue.offer([work(tokens=4)])
    with pytest.raises(UnavailableError):
        scene.queue.offer([work(tokens=4), work(tokens=4)])
    assert scene.queue.tokens(Lane.BULK) == 4


def test_interactive_work_comes_first_even_when_the_bulk_lane_is_full() -> None:
    scene = QueueScene(max_tokens=10, batch_tokens=4)
    jobs = [work(tokens=4), work(tokens=4)]
    interactive = work(tokens=2, lane=Lane.INTERACTIVE)
    for piece in (*jobs, interactive):
        scene.queue.offer([piece])
    assert [scene.queue.take() for _ in range(3)] == [[interactive], [jobs[0]], [jobs[1]]]


def test_a_starving_bulk_lane_gets_every_other_batch() -> None:
    scene = QueueScene(batch_tokens=1)
    jobs = [work() for _ in range(2)]
    calls = [work(lane=Lane.INTERACTIVE) for _ in range(3)]
    for piece in (*jobs, *calls):
        scene.queue.offer([piece])
    first = scene.queue.take()
    scene.clock.now += 1.0
    assert [first, *(scene.queue.take() for _ in range(4))] == [
        [calls[0]],
        [jobs[0]],
        [calls[1]],
        [jobs[1]],
        [calls[2]],
    ]


def test_bulk_batches_are_smaller_while_there_is_interactive_traffic() -> None:
    scene = QueueScene(max_tokens=1 << 20, batch_tokens=8192)
    assert scene.queue.budget(Lane.BULK) == 8192
    jobs = [work(tokens=1024) for _ in range(12)]
    interactive = work(lane=Lane.INTERACTIVE)
    for piece in (*jobs, interactive):
        scene.queue.offer([piece])
    assert scene.queue.budget(Lane.BULK) == 2048
    assert scene.queue.budget(Lane.INTERACTIVE) == 8192
    assert [scene.queue.take() for _ in range(3)] == [[interactive], jobs[:2], jobs[2:4]]
    scene.clock.now += 5.0
    assert scene.queue.take() == jobs[4:12]


def test_a_batch_holds_one_group() -> None:
    scene = QueueScene()
    old, new = object(), object()
    pieces = [work(group=old), work(group=old), work(group=new), work(group=old)]
    for piece in pieces:
        scene.queue.offer([piece])
    assert [scene.queue.take() for _ in range(3)] == [pieces[:2], [pieces[2]], [pieces[3]]]


def test_cancelled_work_is_dropped_unscored() -> None:
    scene = QueueScene()
    gone, there = work(), work()
    for piece in (gone, there):
        scene.queue.offer([piece])
    gone.cancelled = True
    assert scene.queue.take() == [there]
    assert scene.dropped == [(gone, DropReason.CANCELLED)]


@pytest.mark.parametrize(("deadline", "dropped"), [(99.0, True), (104.9, True), (105.0, False), (None, False)])
def test_work_whose_deadline_cannot_be_met_is_dropped(deadline: float | None, dropped: bool) -> None:
    scene = QueueScene()
    late = work(tokens=5, deadline=deadline)
    last = work()
    scene.queue.offer([late])
    scene.queue.offer([last])
    assert scene.queue.take() == ([last] if dropped else [late, last])
    assert scene.dropped == ([(late, DropReason.DEADLINE)] if dropped else [])


@pytest.mark.parametrize("lane", list(Lane))
def test_work_is_dropped_on_an_estimate_only_if_other_work_waits(lane: Lane) -> None:
    scene = QueueScene(seconds_per_token=1000.0)
    lone = work(deadline=101.0, lane=lane)
    scene.queue.offer([lone])
    assert scene.queue.take() == [lone]
    pieces = [work(deadline=deadline, lane=lane) for deadline in (101.0, 103.0, 102.0, 99.0)]
    for piece in pieces:
        scene.queue.offer([piece])
    assert scene.queue.take() == [pieces[1]]
    assert {id(piece) for piece, _ in scene.dropped} == {id(pieces[i]) for i in (0, 2, 3)}
    assert scene.queue.tokens(lane) == scene.queue.requests(lane) == 0


def test_work_out_of_reach_is_dropped_for_work_of_the_other_lane() -> None:
    scene = QueueScene(seconds_per_token=1000.0)
    hopeless, job = work(deadline=101.0, lane=Lane.INTERACTIVE), work()
    scene.queue.offer([hopeless])
    scene.queue.offer([job])
    assert scene.queue.take() == [job]
    assert scene.dropped == [(hopeless, DropReason.DEADLINE)]


def test_dropped_work_frees_its_tokens() -> None:
    scene = QueueScene(max_tokens=2)
    first = work(tokens=2, deadline=101.0)
    scene.queue.offer([first])
    scene.clock.now = 200.0
    scene.queue.close()
    assert scene.queue.take() == []
    assert (scene.dropped, scene.queue.tokens(Lane.BULK)) == ([(first, DropReason.DEADLINE)], 0)


def test_a_closed_queue_hands_out_what_waits_and_takes_in_no_more() -> None:
    scene = QueueScene()
    last = work()
    scene.queue.offer([last])
    scene.queue.close()
    with pytest.raises(UnavailableError, match="draining"):
        scene.queue.offer([work()])
    assert scene.queue.take() == [last]
    assert scene.queue.take() == []


def test_a_taker_that_waits_is_woken_by_close() -> None:
    scene = QueueScene()
    taken: list[list[Work]] = []
    taker = threading.Thread(target=lambda: taken.append(scene.queue.take()))
    taker.start()
    scene.queue.close()
    taker.join()
    assert taken == [[]]


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(Lane)), max_size=60), st.integers(1, 40))
def test_under_concurrent_offers_nothing_is_lost_and_nothing_comes_twice(
    sizes: list[tuple[int, Lane]], batch_tokens: int
) -> None:
    scene = QueueScene(max_tokens=10_000, batch_tokens=batch_tokens)
    pieces = [work(tokens, lane=lane) for tokens, lane in sizes]

    def offer(part: list[Work]) -> None:
        for piece in part:
            scene.queue.offer([piece])

    offerers = [threading.Thread(target=offer, args=(pieces[i::3],)) for i in range(3)]
    for thread in offerers:
        thread.start()
    taken: list[Work] = []

    def close() -> None:
        for thread in offerers:
            thread.join()
        scene.queue.close()

    closer = threading.Thread(target=close)
    closer.start()
    while batch := scene.queue.take():
        assert len(batch) == 1 or sum(piece.tokens for piece in batch) <= batch_tokens
        assert len({piece.lane for piece in batch}) == 1
        taken.extend(batch)
    closer.join()
    assert sorted(map(id, taken)) == sorted(map(id, pieces))
    assert [scene.queue.tokens(lane) for lane in Lane] == [0, 0]
