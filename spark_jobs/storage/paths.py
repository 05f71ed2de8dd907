"""Paths as text: which are local, which are in a folder, and which characters Spark would read as a glob."""

from __future__ import annotations

import os
import re
from pathlib import Path

from spark_jobs.errors import SetupError


class OutsideError(SetupError):
    """A path to delete or rename is not in the folder that it must be in."""


def require_below(path: str, folder: str) -> None:
    """Make sure that a path is in a folder. The folder may be a symbolic link, but no folder between the two.

    Raises
    ------
    OutsideError
        If it is elsewhere, is the folder itself, contains `.` or `..`, or a symbolic link leads there.

    Examples
    --------
    >>> require_below("out/_staging/a1", "out/_staging")
    >>> require_below("out/_staging/../labels", "out/_staging")
    Traceback (most recent call last):
    ...
    spark_jobs.storage.paths.OutsideError: 'out/_staging/../labels' is not in 'out/_staging'; it was left alone
    """
    start = folder.rstrip("/") + "/"
    names = [name for name in path[len(start) :].split("/") if name]
    if not path.startswith(start) or not names or {".", ".."}.intersection(names):
        raise OutsideError(f"{path!r} is not in {folder!r}; it was left alone")
    if (local := local_path(folder)) is not None:
        parent = os.path.join(os.path.realpath(local), *names[:-1])  # noqa: PTH118 -- Path would keep the // of //a
        if (real := os.path.realpath(parent)) != parent:
            raise OutsideError(f"{path!r} is not in {folder!r}: a symbolic link leads to {real}; it was left alone")


def literal(path: str) -> str:
    r"""Return a path escaped so that Spark reads no character of it as a glob.

    Examples
    --------
    >>> print(literal("out[1]/a*"))
    out\[1\]/a\*
    """
    return re.sub(r"([\\\[\]{}*?])", r"\\\1", path)


def without_file_scheme(path: str) -> str:
    """Return a path without the scheme of local files.

    Examples
    --------
    >>> without_file_scheme("file:///data/a.csv"), without_file_scheme("file:/data/a.csv")
    ('/data/a.csv', '/data/a.csv')
    >>> without_file_scheme("s3a://shop/a.csv")
    's3a://shop/a.csv'
    """
    return re.sub("^file:(//(?=/))?", "", path)


def file_scheme_path(path: str) -> Path | None:
    """Return a `file:` path as a local path; `None` for any other, also one without a scheme."""
    return Path(without_file_scheme(path)) if path.startswith("file:") else None


def links_upwards(folder: Path) -> bool:
    """Return whether a folder is a link to one that it lies in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def local_path(path: str) -> Path | None:
    """Return a path without a scheme, or with that of local files, as a local path; `None` if it is remote."""
    name = without_file_scheme(path)
    return None if "://" in name else Path(name)
