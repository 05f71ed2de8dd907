"""Run ids: made here, and checked wherever one is read back from a file.

An id becomes part of paths, some of which are deleted. Anybody who can write to the output can write such a file, so an
id that could lead to another folder is not accepted.
"""

from __future__ import annotations

import re
import uuid
from typing import TypeGuard

_PATTERN = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def new_run_id() -> str:
    """Return an id that no other run has: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def is_run_id(value: object) -> TypeGuard[str]:
    """Return whether a value is an id: at most 64 letters, digits, `_` and `-`, so a single name in a path.

    Examples
    --------
    >>> is_run_id("4c1f-a"), is_run_id("../victim"), is_run_id(5)
    (True, False, False)
    """
    return isinstance(value, str) and _PATTERN.fullmatch(value) is not None
