"""End of the parent process, noticed by its children however it ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable


def on_stdin_close(end: Callable[[], object]) -> None:
    """Call `end` on a thread once standard input closes, because the process at its other end has ended."""
    # Not sys.stdin: a thread that waits in it holds its lock, and the interpreter could not exit.
    descriptor = sys.stdin.fileno()

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        end()

    threading.Thread(target=wait, name="stdin", daemon=True).start()
