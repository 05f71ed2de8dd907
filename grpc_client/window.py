"""A bounded window of running calls that gives results in the order of the calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def ordered_window(
    calls: Iterable[Callable[[], Result]], in_flight: int, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Run `calls` on a small thread pool, at most `in_flight` at a time, and yield their results in order.

    A call is taken from the iterable only when there is room for it, so memory stays bounded however long it is. The
    first exception, of a call or of the iterable, ends everything: calls that have not begun are dropped.

    Parameters
    ----------
    calls
        What to run; consumed lazily, in the caller's thread.
    in_flight
        Calls that may run, or wait for their turn to be yielded, at the same time.
    stop
        Set when the window ends, however it ends: lets calls that are still waiting give up early.
    """
    pool = ThreadPoolExecutor(max_workers=in_flight, thread_name_prefix="rpc")
    running: deque[Future[Result]] = deque()
    try:
        for call in calls:
            running.append(pool.submit(call))
            if len(running) >= in_flight:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        if stop is not None:
            stop.set()
        # Not waited for: a call that hangs until its deadline must not delay the report of another one's failure.
        pool.shutdown(wait=False, cancel_futures=True)
