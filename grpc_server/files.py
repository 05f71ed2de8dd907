"""Noticing that a file is another one than before: rewritten, replaced, or reached by a link that was moved."""

from __future__ import annotations

from pathlib import Path


def signature(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file does: inode, time of writing and size; ``None`` if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
