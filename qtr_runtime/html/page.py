"""The frame of a self-contained HTML page: no script, no request, no other file."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from qtr_runtime.html.markup import Markup, text


def page(title: str, body: Markup, *, tone: str = "") -> str:
    """Return a whole page; `tone` is `good`, `warn` or `bad`, the colour of its verdict, or empty."""
    folder = files("qtr_runtime.html")
    template = Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    return template.substitute(title=text(title), style=style, tone=tone, body=body)
