"""Files that are read again when they change: rewritten, replaced, or reached through a link that is switched."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

Signature = tuple[tuple[int, int, int] | None, ...]
# Two changes within one tick of the clock that file times are taken from look the same.
_TICK_NS: Final = 50_000_000
_MAX_BYTES: Final = 1 << 20


class WatchedFiles:
    """Files that are read again when they change.

    Parameters
    ----------
    paths
        The files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: Signature | None = None

    def changed(self) -> Signature | None:
        """Return the signature to pass to `mark_read` after reading the files, or `None` if they are unchanged."""
        now = tuple(_signature(path) for path in self._paths)
        return None if now == self._seen else now

    def mark_read(self, signature: Signature) -> None:
        """Record that the files were read with this signature; a very recent change counts as unread."""
        newest = max((each[1] for each in signature if each is not None), default=0)
        self._seen = signature if time.time_ns() - newest > _TICK_NS else None


def read_regular_file(path: Path) -> bytes:
    """Return the contents; never wait for them, as the reader of a named pipe does.

    Raises
    ------
    OSError
        If the file cannot be read, is not a regular file, or has more than 1 MiB.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        contents = file.read(_MAX_BYTES + 1)
    if len(contents) > _MAX_BYTES:
        raise OSError(errno.EFBIG, "larger than 1 MiB", str(path))
    return contents


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return inode, change time and size; `None` if there is no such file.

    A program that copies a file can set its modification time, but not its change time.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns, stat.st_size
