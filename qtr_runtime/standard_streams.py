"""Standard input, output and error as a program may find them: closed, or a pipe that nobody reads."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from pathlib import Path
from typing import Final, TextIO, cast

_ERROR: Final = 2


def make_safe() -> None:
    """Occupy the standard descriptors that are closed, and let nothing that is written to standard error wait.

    A file or connection that is opened later would get the number of a closed one, and what libraries write to standard
    error would go into it.
    """
    for descriptor in (0, 1, _ERROR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = _devnull("r")
    if sys.stdout is None:
        sys.stdout = _devnull("w")
    error = sys.stderr
    replaced = error is not sys.__stderr__  # by who calls this program as a function
    if error is None:
        sys.stderr = _devnull("w")
    elif not replaced and not error.isatty():
        _open_without_waiting(_ERROR)
        sys.stderr = io.TextIOWrapper(
            cast(io.BufferedWriter, _Lossy()), error.encoding, "backslashreplace", write_through=True
        )


def _devnull(mode: str) -> TextIO:
    return cast(TextIO, Path(os.devnull).open(mode, encoding="utf-8"))


def _open_without_waiting(descriptor: int) -> None:
    """Open the pipe behind `descriptor` anew so that writes to a full one fail; libraries write to it as well.

    The flag belongs to what was opened, which other processes may share, so it is not set on that.
    """
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        with contextlib.suppress(OSError):  # the pipe is another user's, or nobody reads at its other end
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
            os.dup2(again, descriptor)
            os.close(again)


class _Lossy(io.RawIOBase):
    """Standard error without a buffer: what the pipe does not take is lost."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return _ERROR

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data)).cast("B")
        with contextlib.suppress(OSError):
            os.write(_ERROR, view)
        return len(view)
