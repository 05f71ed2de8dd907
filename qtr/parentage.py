"""Processes that belong to another one: they end with it, however it ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable


def on_stdin_close(end: Callable[[], object]) -> None:
    """Call `end`, on a thread of its own, once standard input closes: the process that holds its other end is gone."""

    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        end()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
