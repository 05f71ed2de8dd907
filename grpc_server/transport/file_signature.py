"""Noticing that files are others than before: rewritten, replaced, or reached by a link that was moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

Signature = tuple[tuple[int, int, int] | None, ...]
# A file may change twice within one tick of the clock that its time of change is taken from, and look the same.
_TICK_NS: Final = 50_000_000


class Watched:
    """Some files that are read again when they change.

    Parameters
    ----------
    paths
        The files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: Signature | None = None

    def changed(self) -> Signature | None:
        """Return what to give to `mark_read` once the files were read, or `None` if they are as before."""
        now = tuple(_signature(path) for path in self._paths)
        return None if now == self._seen else now

    def mark_read(self, signature: Signature) -> None:
        """Take note that the files were read as they are."""
        newest = max((each[1] for each in signature if each is not None), default=0)
        self._seen = signature if time.time_ns() - newest > _TICK_NS else None


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what differs when the file does: inode, time of change and size; `None` if there is no such file.

    The time of change, other than that of writing, cannot be set by who copies a file.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns, stat.st_size
