"""Processes that belong to another one: they end with it, however it ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def on_stdin_close(end: Callable[[], object]) -> None:
    """Call `end`, on a thread of its own, once standard input closes: the process that holds its other end is gone."""
    # Not through sys.stdin: a thread that waits in it holds its lock, and the interpreter could not end before it.
    descriptor = sys.stdin.fileno()

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        end()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
