"""A bounded window of calls that gives results in the order of the calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_AHEAD = 4


def ordered_window(
    calls: Iterable[Callable[[], Result]], in_flight: int, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Run `calls` on a small thread pool, at most `in_flight` at a time, and yield their results in order.

    How many of them are really sent is for the client's limit to decide: the others wait at its gate. A call that takes
    long holds up the results behind it, but not their calls: up to four windows' worth run ahead. More calls than that
    are not taken from the iterable before the first of them is yielded, so memory stays bounded however long it is. The
    first exception, of a call or of the iterable, ends everything: calls that have not begun are dropped.

    Parameters
    ----------
    calls
        What to run; consumed lazily, in the caller's thread.
    in_flight
        Calls that may run at the same time.
    stop
        Set when the window ends, however it ends: lets calls that are still waiting give up early.
    """
    pool = ThreadPoolExecutor(max_workers=in_flight, thread_name_prefix="rpc")
    taken: deque[Future[Result]] = deque()
    try:
        for call in calls:
            taken.append(pool.submit(call))
            while taken and (len(taken) >= _AHEAD * in_flight or taken[0].done()):
                yield taken.popleft().result()
        while taken:
            yield taken.popleft().result()
    finally:
        if stop is not None:
            stop.set()
        # Not waited for: a call that hangs until its deadline must not delay the report of another one's failure.
        pool.shutdown(wait=False, cancel_futures=True)
