"""Work that may hang, kept off the event loop and out of the way of the process's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


async def on_daemon_thread(name: str, function: Callable[[], Result]) -> Result:
    """Return what `function` returns, or raise what it raises.

    Unlike a thread of the loop's own pool, this one is not waited for when the process ends: a read from a file system
    that hangs, or a collector that does not answer, must not keep a drained server alive.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled: nobody waits any more
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]  # a result, since there is no error
        else:
            future.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = function()
        except BaseException as error:
            failed = error
        with suppress(RuntimeError):  # the loop was closed in the meantime
            loop.call_soon_threadsafe(deliver, result, failed)

    Thread(target=run, name=name, daemon=True).start()
    return await future
