"""Work that may hang, on a thread that blocks neither the event loop nor the end of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


async def on_daemon_thread(name: str, function: Callable[[], Result]) -> Result:
    """Run `function` on a daemon thread; return its result or raise its error.

    Unlike threads of the loop's own pool, a daemon thread is not joined when the process ends: a file system that
    hangs, or a collector that does not answer, must not keep a drained server alive.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled
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
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(deliver, result, failed)

    Thread(target=run, name=name, daemon=True).start()
    return await future
