"""Folders whose files nobody but their user can change: what is executed must lie in one.

Who may write to a folder may put another file in the place of one that lies there. So the folder and all above it must
belong to this user or to root, and nobody else may write to them; but for folders such as `/tmp`, where the sticky bit
lets everybody write and nobody touch what belongs to others.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_private(path: Path) -> bool:
    """Return whether only this user and root can change what is at a path.

    Parameters
    ----------
    path
        A file or folder that exists, without symbolic links in it (`Path.resolve`).
    """
    try:
        return _is_ours(path) and all(_is_ours(folder, may_be_sticky=True) for folder in path.parents)
    except OSError:
        return False


def make_private(folder: Path) -> Path:
    """Make a folder and those above it that are missing, which others may read; give it without symbolic links.

    Raises
    ------
    OSError
        If that cannot be done, or others may write to the folder or to one above it.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o755, exist_ok=True)
    resolved = folder.resolve(strict=True)
    if not is_private(resolved):
        raise PermissionError(f"others may write to {folder} or to a folder above it")
    return resolved


def _is_ours(path: Path, *, may_be_sticky: bool = False) -> bool:
    found = path.lstat()
    if found.st_uid not in {0, os.geteuid()}:
        return False
    # Rights by an access control list show in the group's bits.
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return not others or (may_be_sticky and bool(found.st_mode & stat.S_ISVTX))
