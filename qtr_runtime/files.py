"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str, *, encoding: str = "utf-8") -> None:
    """Write a text under another name and rename it: a reader sees the old file or the new one.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding=encoding, newline="")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
