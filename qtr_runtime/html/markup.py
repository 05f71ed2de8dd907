"""Build HTML in which everything but `Markup` is escaped: queries and titles are untrusted texts."""

from __future__ import annotations

import html

from qtr_runtime.terminal import escape_control


class Markup(str):
    """Text that is HTML already. Only `text`, `join` and `tag` make it."""

    __slots__ = ()


Child = str | int | float | None


def text(value: object) -> Markup:
    r"""Return a text escaped for HTML; control and direction characters are written as escape sequences.

    Examples
    --------
    >>> text("a < b\x00")
    'a &lt; b\\x00'
    >>> text(tag("b", "a < b"))
    '<b>a &lt; b</b>'
    """
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(escape_control(str(value)), quote=True))


def join(*parts: Child) -> Markup:
    """Return parts one after the other; those that are not `Markup` are escaped, `None` is left out."""
    return Markup("".join(text(part) for part in parts if part is not None))


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """Return an element.

    Parameters
    ----------
    name
        Name of the element.
    children
        Its content, as for `join`.
    attributes
        `class_` stands for `class`, `_` for `-`; one that is `None` is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")
