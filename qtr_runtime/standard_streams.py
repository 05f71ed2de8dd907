"""Standard input, output and error made safe: they may be closed, or a pipe that is not read."""

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
    """Open closed standard descriptors on `/dev/null`, and make writes to standard error never block.

    A file or connection that is opened later would get the number of a closed descriptor, and libraries would write
    their errors into it.
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
    replaced = error is not sys.__stderr__  # by a caller of this program as a function
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
    """Open the pipe behind `descriptor` a second time, so that writes to a full pipe fail instead of blocking.

    The flag is not set on the existing open file, which other processes may share. Libraries write to it as well.
    """
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        with contextlib.suppress(OSError):  # the pipe belongs to another user, or has no reader
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
            os.dup2(again, descriptor)
            os.close(again)


class _Lossy(io.RawIOBase):
    """Standard error without a buffer; bytes that the pipe does not take are lost."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return _ERROR

    def write(self, data: object) -> int:
        view = memoryview(cast(bytes, data)).cast("B")
        with contextlib.suppress(OSError):
            os.write(_ERROR, view)
        return len(view)
