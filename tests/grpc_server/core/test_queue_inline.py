"""The queue holds interactive work for the event loop, which scores a small batch itself while the thread is idle."""

from __future__ import annotations

import threading

from grpc_server.core.queue import WorkQueue
from grpc_server.core.work import DropReason, Work
from tests.support.work_queue import QueueScene, interactive, work


def taking(queue: WorkQueue) -> tuple[threading.Thread, list[list[Work]]]:
    """Let a thread take one batch; return once it waits for it."""
    taken: list[list[Work]] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()), daemon=True)
    thread.start()
    while not queue._idle:
        pass
    return thread, taken


def test_held_work_is_not_taken_until_it_is_released_and_bulk_work_is_not_held() -> None:
    queue = QueueScene().queue
    calls, job = [interactive(), interactive()], work()
    queue.offer([calls[0]], hold=True)
    queue.offer([job])
    assert queue.take() == [job]
    queue.offer([calls[1]], hold=True)
    queue.release()
    assert queue.take() == calls


def test_a_small_batch_may_be_taken_inline_while_the_thread_is_idle() -> None:
    queue = QueueScene().queue
    thread, taken = taking(queue)
    lone = interactive()
    queue.offer([lone], hold=True)
    assert queue.take_inline(10) == [lone]
    assert queue.take_inline(10) == []
    queue.offer([job := work()])
    thread.join()
    assert taken == [[job]]


def test_a_large_batch_goes_to_the_idle_thread() -> None:
    queue = QueueScene().queue
    thread, taken = taking(queue)
    queue.offer([much := interactive(tokens=11)], hold=True)
    assert queue.take_inline(10) == []
    thread.join()
    assert taken == [[much]]


def test_nothing_is_taken_inline_while_the_thread_works() -> None:
    queue = QueueScene().queue
    queue.offer([lone := interactive()], hold=True)
    assert queue.take_inline(10) == []
    assert queue.take() == [lone]


def test_work_that_is_of_no_use_is_dropped_inline_as_well() -> None:
    scene = QueueScene()
    thread, _ = taking(scene.queue)
    gone, lone = interactive(), interactive()
    gone.cancelled = True
    scene.queue.offer([gone], hold=True)
    scene.queue.offer([lone], hold=True)
    assert scene.queue.take_inline(10) == [lone]
    assert scene.dropped == [(gone, DropReason.CANCELLED)]
    scene.queue.close()
    thread.join()


def test_a_closed_queue_holds_nothing_back() -> None:
    queue = QueueScene().queue
    queue.offer([lone := interactive()], hold=True)
    queue.close()
    assert [queue.take(), queue.take()] == [[lone], []]
