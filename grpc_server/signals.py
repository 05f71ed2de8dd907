"""Signal handling from the start of the process; early signals are remembered until the server can act on them.

Imports and loading the model take half a second. In that time a SIGHUP would otherwise kill the process, and a SIGTERM
would end it with the exit status of a crash.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_ALL: Final = (*_STOP, signal.SIGHUP)


class Signals:
    """SIGTERM and SIGINT end the process, SIGHUP requests a reload; only the main thread can handle signals."""

    def __init__(self) -> None:
        self._reload_requested = False
        for number in _STOP:
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._request_reload)

    def stop_with(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """From now on call `stop` on `loop`, instead of ending the process at once."""
        for number in _STOP:
            loop.add_signal_handler(number, stop)

    def reload_with(self, loop: asyncio.AbstractEventLoop, reload: Callable[[], None]) -> None:
        """From now on call `reload` on `loop`; call it at once if a reload was requested already."""
        loop.add_signal_handler(signal.SIGHUP, reload)
        if self._reload_requested:
            reload()

    def ignore(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ignore signals from now on: the server has stopped and the process is about to exit."""
        for number in _ALL:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _request_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_requested = True

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        # Nothing is served yet, so there is no work to finish. An import in progress would swallow SystemExit, or turn
        # it into an error of its own.
        os._exit(0)
