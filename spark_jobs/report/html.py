"""HTML that is escaped unless it says that it is markup: titles are other people's texts."""

from __future__ import annotations

import html

from qtr_runtime.terminal import escape_control


class Markup(str):
    """Text that is HTML already; only `tag` and `join` make it from other texts."""

    __slots__ = ()


Child = str | int | float | None


def text(value: object) -> Markup:
    """Escape a text. What no reader should meet raw, such as control and direction characters, is spelled out."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(escape_control(str(value)), quote=True))


def join(*parts: Child) -> Markup:
    """Put parts one after the other; those that are not `Markup` are escaped, `None` is left out."""
    return Markup("".join(text(part) for part in parts if part is not None))


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """Build an element.

    Parameters
    ----------
    name
        Of the element.
    children
        What is in it, as for `join`.
    attributes
        `class_` stands for `class`, `_` for `-`; one that is `None` is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")
