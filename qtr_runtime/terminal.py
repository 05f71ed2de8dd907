"""Texts on a terminal: control characters of foreign texts escaped, durations for readers."""

from __future__ import annotations


def escape_control(text: str) -> str:
    r"""Return `text` with control characters and lone surrogates escaped.

    Examples
    --------
    >>> escape_control("red\tshoes")
    'red\\tshoes'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Return a duration for readers.

    Examples
    --------
    >>> [duration(seconds) for seconds in (3.21, 42.4, 245, 7800)]
    ['3.2 s', '42 s', '4 min 05 s', '2 h 10 min']
    """
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
