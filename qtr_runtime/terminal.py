"""Showing other people's texts on a terminal."""

from __future__ import annotations


def escape_control(text: str) -> str:
    """Replace what a terminal would obey or cannot show: control characters and lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
