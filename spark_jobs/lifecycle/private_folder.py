"""Private folders: only their owner can change the files in them. Scripts that are executed lie in one.

A user who can write to a folder can replace the files in it. So the folder and all its parents must belong to this user
or to root, and no other user may write to them. A parent such as `/tmp` is allowed: its sticky bit keeps users from
replacing the files of others.
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
    """Make a folder and its missing parents, readable by all; return it without symbolic links.

    Raises
    ------
    OSError
        If that fails, or other users can write to the folder or a parent.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o755, exist_ok=True)
    resolved = folder.resolve(strict=True)
    if not is_private(resolved):
        raise PermissionError(f"other users can write to {folder} or to a parent folder")
    return resolved


def _is_ours(path: Path, *, may_be_sticky: bool = False) -> bool:
    found = path.lstat()
    if found.st_uid not in {0, os.geteuid()}:
        return False
    # An access control list that lets others write sets the group's write bit.
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return not others or (may_be_sticky and bool(found.st_mode & stat.S_ISVTX))
