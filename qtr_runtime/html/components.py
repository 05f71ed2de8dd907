"""The parts that all pages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from qtr_runtime.html.markup import Markup, tag

NOTHING = "\u2013"
"""Shown where there is no number."""

Icon = Literal["passed", "warned", "failed", "skipped"]
_ICONS: dict[Icon, str] = {
    "passed": "M3 8.5l3.2 3.2L13 4.8",
    "warned": "M8 3v6M8 12.2v.6",
    "failed": "M4 4l8 8M12 4l-8 8",
    "skipped": "M4 8h8",
}


def card(title: str, note: str, *content: Markup | None, wide: bool = False, long: bool = False) -> Markup:
    """Build one card: a heading, a line below it, and its content."""
    anchor = title.lower().replace(" ", "-")
    kinds = " ".join(name for name, wanted in (("wide", wide), ("long", long)) if wanted)
    head = (tag("h2", title, id=anchor), tag("p", note, class_="note"))
    return tag("section", *head, *content, class_=kinds or None, aria_labelledby=anchor)


def icon(state: Icon) -> Markup:
    """Draw the icon of a state; the word beside it says the same."""
    path = tag("path", d=_ICONS[state], style="fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round")
    return tag("svg", path, viewBox="0 0 16 16", aria_hidden="true")


def num_head(name: str) -> Markup:
    """Build the head of a column of numbers."""
    return tag("th", name, scope="col", class_="num")


def shown_text(value: str | None) -> Markup:
    """Return a text of a row; one that is absent or blank is named so."""
    if value is None:
        return tag("span", "null", class_="nothing")
    return tag("bdi", value) if value.strip() else tag("span", "empty" if not value else "blank", class_="nothing")


def name_values(title: str, note: str, values: Mapping[str, object]) -> Markup:
    """Show names with their values; those without a value are left out."""
    cells = (
        tag("div", tag("dt", name), tag("dd", _value(value)))
        for name, value in values.items()
        if value not in (None, [])
    )
    return card(title, note, tag("dl", *cells, class_="pairs"), wide=True)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
