"""A pipe whose reader does not read: whatever is written to it waits."""

from __future__ import annotations

import contextlib
import fcntl
import os


class StuckPipe:
    """Full from the start.

    Attributes
    ----------
    readable, writable
        The descriptors of its ends; the second is a process's output.
    filled
        Bytes that are in it before anybody else writes.
    """

    def __init__(self) -> None:
        self.readable, self.writable = os.pipe()
        fcntl.fcntl(self.writable, fcntl.F_SETPIPE_SZ, 4096)
        # Opened a second time: the flag belongs to the open file, not to this end of the pipe.
        filler = os.open(f"/proc/self/fd/{self.writable}", os.O_WRONLY | os.O_NONBLOCK)
        self.filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.filled += os.write(filler, b".")
        os.close(filler)

    def __enter__(self) -> StuckPipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_reader()
        os.close(self.writable)

    def close_reader(self) -> None:
        """Leave: from here on, who writes gets an error."""
        if self.readable >= 0:
            os.close(self.readable)
            self.readable = -1
