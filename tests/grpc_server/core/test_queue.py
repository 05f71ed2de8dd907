"""The queue refuses early, batches by budget, drops what is of no use, and loses nothing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_server.core.queue import WorkQueue
from grpc_server.core.work import DropReason, Lane, Work
from grpc_server.errors import UnavailableError
from relevance_model import Pairs


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class SteadyThroughput:
    def __init__(self, seconds_per_token: float) -> None:
        self._seconds_per_token = seconds_per_token

    def seconds_for(self, tokens: int) -> float:
        return tokens * self._seconds_per_token


class Setup:
    """A queue at a pace of one second a token, with a clock that stands still until it is moved."""

    def __init__(self, *, max_tokens: int = 100, batch_tokens: int = 100, seconds_per_token: float = 1.0) -> None:
        self.clock = Clock()
        self.dropped: list[tuple[Work, DropReason]] = []
        pace = SteadyThroughput(seconds_per_token)
        self.queue = WorkQueue(
            max_tokens=max_tokens,
            batch_tokens=batch_tokens,
            mixed_batch_tokens=2048,
            throughput=pace,
            on_drop=lambda work, reason: self.dropped.append((work, reason)),
            clock=self.clock,
        )


def work(
    tokens: int = 1, deadline: float | None = None, lane: Lane = Lane.BULK, group: object = None, source: str = ""
) -> Work:
    return Work(Pairs.from_columns(["q"], ["t"]), tokens, lane, group, deadline, source)


def test_a_lone_piece_is_taken_at_once() -> None:
    setup = Setup()
    only = work()
    setup.queue.offer([only])
    assert setup.queue.take() == [only]


def test_a_batch_ends_at_the_token_budget() -> None:
    setup = Setup(batch_tokens=10)
    pieces = [work(tokens=4) for _ in range(5)]
    for piece in pieces:
        setup.queue.offer([piece])
    assert [setup.queue.take(), setup.queue.take(), setup.queue.take()] == [pieces[:2], pieces[2:4], pieces[4:]]


def test_a_source_with_much_work_delays_no_other() -> None:
    setup = Setup(batch_tokens=4)
    much = [work(source="a") for _ in range(20)]
    for piece in much:
        setup.queue.offer([piece])
    first, second = work(source="b"), work(source="b")
    setup.queue.offer([first])
    setup.queue.offer([second])
    assert setup.queue.take() == [much[0], first, much[1], second]
    taken = [piece for _ in range(5) for piece in setup.queue.take()]
    assert taken == much[2:]


def test_a_source_may_hold_a_quarter_of_its_lane() -> None:
    setup = Setup(max_tokens=100)
    setup.queue.offer([work(tokens=20, source="a")])
    with pytest.raises(
        UnavailableError, match="about 20 bulk tokens of this connection wait, the limit is 25"
    ) as refused:
        setup.queue.offer([work(tokens=6, source="a")])
    assert refused.value.retry_after == pytest.approx(20)
    setup.queue.offer([work(tokens=6, source="b")])
    setup.queue.take()
    setup.queue.offer([work(tokens=30, source="a")])  # as nothing of it waits


def test_a_piece_over_the_budget_goes_alone() -> None:
    setup = Setup(batch_tokens=10)
    large, small = work(tokens=50), work(tokens=1)
    setup.queue.offer([large])
    setup.queue.offer([small])
    assert setup.queue.take() == [large]
    assert setup.queue.take() == [small]


def test_over_the_limit_the_caller_gets_pushback() -> None:
    setup = Setup(max_tokens=40)
    setup.queue.offer([work(tokens=30)])
    with pytest.raises(UnavailableError, match="about 30 bulk tokens wait, the limit is 40") as refused:
        setup.queue.offer([work(tokens=11)])
    assert refused.value.retry_after == pytest.approx(30)
    setup.queue.offer([work(tokens=10)])
    assert setup.queue.tokens(Lane.BULK) == 40


def test_taken_work_frees_its_tokens() -> None:
    setup = Setup(max_tokens=10)
    setup.queue.offer([work(tokens=10)])
    setup.queue.take()
    setup.queue.offer([work(tokens=10)])
    assert setup.queue.tokens(Lane.BULK) == 10


def test_a_request_over_the_limit_is_accepted_when_nothing_waits() -> None:
    setup = Setup(max_tokens=10)
    setup.queue.offer([work(tokens=50)])
    assert len(setup.queue.take()) == 1


def test_the_parts_of_a_request_are_taken_in_together_or_not_at_all() -> None:
    setup = Setup(max_tokens=10)
    setup.queue.offer([work(tokens=4)])
    with pytest.raises(UnavailableError):
        setup.queue.offer([work(tokens=4), work(tokens=4)])
    assert setup.queue.tokens(Lane.BULK) == 4


def test_interactive_work_comes_first_even_when_the_bulk_lane_is_full() -> None:
    setup = Setup(max_tokens=10, batch_tokens=4)
    jobs = [work(tokens=4), work(tokens=4)]
    interactive = work(tokens=2, lane=Lane.INTERACTIVE)
    for piece in (*jobs, interactive):
        setup.queue.offer([piece])
    assert [setup.queue.take() for _ in range(3)] == [[interactive], [jobs[0]], [jobs[1]]]


def test_a_starving_bulk_lane_gets_every_other_batch() -> None:
    setup = Setup(batch_tokens=1)
    jobs = [work() for _ in range(2)]
    calls = [work(lane=Lane.INTERACTIVE) for _ in range(3)]
    for piece in (*jobs, *calls):
        setup.queue.offer([piece])
    first = setup.queue.take()
    setup.clock.now += 1.0
    assert [first, *(setup.queue.take() for _ in range(4))] == [
        [calls[0]],
        [jobs[0]],
        [calls[1]],
        [jobs[1]],
        [calls[2]],
    ]


def test_bulk_batches_are_smaller_while_there_is_interactive_traffic() -> None:
    setup = Setup(max_tokens=1 << 20, batch_tokens=8192)
    assert setup.queue.budget(Lane.BULK) == 8192
    jobs = [work(tokens=1024) for _ in range(12)]
    interactive = work(lane=Lane.INTERACTIVE)
    for piece in (*jobs, interactive):
        setup.queue.offer([piece])
    assert setup.queue.budget(Lane.BULK) == 2048
    assert setup.queue.budget(Lane.INTERACTIVE) == 8192
    assert [setup.queue.take() for _ in range(3)] == [[interactive], jobs[:2], jobs[2:4]]
    setup.clock.now += 5.0
    assert setup.queue.take() == jobs[4:12]


def test_a_batch_holds_one_group() -> None:
    setup = Setup()
    old, new = object(), object()
    pieces = [work(group=old), work(group=old), work(group=new), work(group=old)]
    for piece in pieces:
        setup.queue.offer([piece])
    assert [setup.queue.take() for _ in range(3)] == [pieces[:2], [pieces[2]], [pieces[3]]]


def test_cancelled_work_is_dropped_unscored() -> None:
    setup = Setup()
    gone, there = work(), work()
    for piece in (gone, there):
        setup.queue.offer([piece])
    gone.cancelled = True
    assert setup.queue.take() == [there]
    assert setup.dropped == [(gone, DropReason.CANCELLED)]


@pytest.mark.parametrize(("deadline", "dropped"), [(99.0, True), (104.9, True), (105.0, False), (None, False)])
def test_work_whose_deadline_cannot_be_met_is_dropped(deadline: float | None, dropped: bool) -> None:
    setup = Setup()
    late = work(tokens=5, deadline=deadline)
    last = work()
    setup.queue.offer([late])
    setup.queue.offer([last])
    assert setup.queue.take() == ([last] if dropped else [late, last])
    assert setup.dropped == ([(late, DropReason.DEADLINE)] if dropped else [])


@pytest.mark.parametrize("lane", list(Lane))
def test_work_is_dropped_on_an_estimate_only_if_other_work_waits(lane: Lane) -> None:
    setup = Setup(seconds_per_token=1000.0)
    lone = work(deadline=101.0, lane=lane)
    setup.queue.offer([lone])
    assert setup.queue.take() == [lone]
    pieces = [work(deadline=deadline, lane=lane) for deadline in (101.0, 103.0, 102.0, 99.0)]
    for piece in pieces:
        setup.queue.offer([piece])
    assert setup.queue.take() == [pieces[1]]
    assert {id(piece) for piece, _ in setup.dropped} == {id(pieces[i]) for i in (0, 2, 3)}
    assert setup.queue.tokens(lane) == setup.queue.requests(lane) == 0


def test_work_out_of_reach_is_dropped_for_work_of_the_other_lane() -> None:
    setup = Setup(seconds_per_token=1000.0)
    hopeless, job = work(deadline=101.0, lane=Lane.INTERACTIVE), work()
    setup.queue.offer([hopeless])
    setup.queue.offer([job])
    assert setup.queue.take() == [job]
    assert setup.dropped == [(hopeless, DropReason.DEADLINE)]


def test_dropped_work_frees_its_tokens() -> None:
    setup = Setup(max_tokens=2)
    first = work(tokens=2, deadline=101.0)
    setup.queue.offer([first])
    setup.clock.now = 200.0
    setup.queue.close()
    assert setup.queue.take() == []
    assert (setup.dropped, setup.queue.tokens(Lane.BULK)) == ([(first, DropReason.DEADLINE)], 0)


def test_a_closed_queue_hands_out_what_waits_and_takes_in_no_more() -> None:
    setup = Setup()
    last = work()
    setup.queue.offer([last])
    setup.queue.close()
    with pytest.raises(UnavailableError, match="draining"):
        setup.queue.offer([work()])
    assert setup.queue.take() == [last]
    assert setup.queue.take() == []


def test_a_taker_that_waits_is_woken_by_close() -> None:
    setup = Setup()
    taken: list[list[Work]] = []
    taker = threading.Thread(target=lambda: taken.append(setup.queue.take()))
    taker.start()
    setup.queue.close()
    taker.join()
    assert taken == [[]]


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(Lane)), max_size=60), st.integers(1, 40))
def test_under_concurrent_offers_nothing_is_lost_and_nothing_comes_twice(
    sizes: list[tuple[int, Lane]], batch_tokens: int
) -> None:
    setup = Setup(max_tokens=10_000, batch_tokens=batch_tokens)
    pieces = [work(tokens, lane=lane) for tokens, lane in sizes]

    def offer(part: list[Work]) -> None:
        for piece in part:
            setup.queue.offer([piece])

    offerers = [threading.Thread(target=offer, args=(pieces[i::3],)) for i in range(3)]
    for thread in offerers:
        thread.start()
    taken: list[Work] = []
    closer = threading.Thread(target=lambda: ([thread.join() for thread in offerers], setup.queue.close()))
    closer.start()
    while batch := setup.queue.take():
        assert len(batch) == 1 or sum(piece.tokens for piece in batch) <= batch_tokens
        assert len({piece.lane for piece in batch}) == 1
        taken.extend(batch)
    closer.join()
    assert sorted(map(id, taken)) == sorted(map(id, pieces))
    assert [setup.queue.tokens(lane) for lane in Lane] == [0, 0]


def interactive(tokens: int = 1) -> Work:
    return work(tokens, lane=Lane.INTERACTIVE)


def taking(queue: WorkQueue) -> tuple[threading.Thread, list[list[Work]]]:
    """Let a thread take one batch; return once it waits for it."""
    taken: list[list[Work]] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()), daemon=True)
    thread.start()
    while not queue._idle:
        pass
    return thread, taken


def test_held_work_is_not_taken_until_it_is_released_and_bulk_work_is_not_held() -> None:
    queue = Setup().queue
    calls, job = [interactive(), interactive()], work()
    queue.offer([calls[0]], hold=True)
    queue.offer([job])
    assert queue.take() == [job]
    queue.offer([calls[1]], hold=True)
    queue.release()
    assert queue.take() == calls


def test_a_small_batch_may_be_taken_inline_while_the_thread_is_idle() -> None:
    queue = Setup().queue
    thread, taken = taking(queue)
    lone = interactive()
    queue.offer([lone], hold=True)
    assert queue.take_inline(10) == [lone]
    assert queue.take_inline(10) == []
    queue.offer([job := work()])
    thread.join()
    assert taken == [[job]]


def test_a_large_batch_goes_to_the_idle_thread() -> None:
    queue = Setup().queue
    thread, taken = taking(queue)
    queue.offer([much := interactive(tokens=11)], hold=True)
    assert queue.take_inline(10) == []
    thread.join()
    assert taken == [[much]]


def test_nothing_is_taken_inline_while_the_thread_works() -> None:
    queue = Setup().queue
    queue.offer([lone := interactive()], hold=True)
    assert queue.take_inline(10) == []
    assert queue.take() == [lone]


def test_work_that_is_of_no_use_is_dropped_inline_as_well() -> None:
    setup = Setup()
    thread, _ = taking(setup.queue)
    gone, lone = interactive(), interactive()
    gone.cancelled = True
    setup.queue.offer([gone], hold=True)
    setup.queue.offer([lone], hold=True)
    assert setup.queue.take_inline(10) == [lone]
    assert setup.dropped == [(gone, DropReason.CANCELLED)]
    setup.queue.close()
    thread.join()


def test_a_closed_queue_holds_nothing_back() -> None:
    queue = Setup().queue
    queue.offer([lone := interactive()], hold=True)
    queue.close()
    assert [queue.take(), queue.take()] == [[lone], []]
