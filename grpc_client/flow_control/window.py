"""A bounded window of concurrent calls with results in the order of the calls."""

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
    """Run `calls` on a thread pool, at most `in_flight` at a time, and yield their results in order.

    The client's concurrency limiter decides how many of them are sent; the others wait for a permit. A slow call holds
    back the results behind it, but not their calls: up to four windows' worth of calls is taken from the iterable ahead
    of the first result, and no more, so memory is bounded. The first exception, of a call or of the iterable, ends the
    window: calls that have not begun are dropped.

    Parameters
    ----------
    calls
        Functions to run; the iterable is consumed lazily, in the caller's thread.
    in_flight
        Calls that may run at the same time.
    stop
        Set when the window ends, however it ends, so that calls that still wait give up.

    Examples
    --------
    >>> list(ordered_window((lambda n=n: n * n for n in range(4)), in_flight=2))
    [0, 1, 4, 9]
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
