"""Signals from the first moment of the process on: what comes before the server can act on it is remembered.

Imports and the model take half a second, in which a SIGHUP would otherwise kill the process, and a SIGTERM end it with
a status that looks like a crash.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_ALL: Final = (*_STOP, signal.SIGHUP)


class Signals:
    """SIGTERM and SIGINT end the process, SIGHUP asks for a reload; only the main thread can listen for them."""

    def __init__(self) -> None:
        self._reload_wanted = False
        self._stop_wanted = False
        for number in _STOP:
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._note_reload)

    def stop_with(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call `stop` on `loop` from here on, instead of ending the process at once."""
        for number in _STOP:
            loop.add_signal_handler(number, stop)
        if self._stop_wanted:
            stop()

    def reload_with(self, loop: asyncio.AbstractEventLoop, reload: Callable[[], None]) -> None:
        """Call `reload` on `loop` from here on, and now if it was asked for already."""
        loop.add_signal_handler(signal.SIGHUP, reload)
        if self._reload_wanted:
            reload()

    def ignore(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let no signal disturb the last moments of a process that has stopped and is about to exit."""
        for number in _ALL:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _note_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_wanted = True

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        # Nothing is served yet, so nothing is left to finish. Should what is being imported swallow this, it is known.
        self._stop_wanted = True
        for number in _ALL:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)
