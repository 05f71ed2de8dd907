"""The names of runs: made here, and checked wherever one is read back from a file.

An id becomes a part of paths, some of which are deleted. What stands in a file may have been written by anybody who can
write to the output, so nothing is taken for an id that could lead elsewhere.
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
    """Return whether a value reads as an id: at most 64 letters, digits, `_` and `-`, so one name of a path."""
    return isinstance(value, str) and _PATTERN.fullmatch(value) is not None
