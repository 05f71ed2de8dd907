"""A browser shows the markup in a text and does not act on it."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from qtr_runtime.html.markup import Markup, join, tag, text
from qtr_runtime.terminal import escape_control


class Seen(HTMLParser):
    """Elements, attributes and text, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_texts_and_attributes_come_out_as_they_went_in(inner: str, value: str) -> None:
    seen = Seen(tag("p", inner, title=value))
    assert seen.tags == ["p"]
    assert seen.text == escape_control(inner)
    assert seen.attributes == [("title", escape_control(value))]


def test_control_and_direction_characters_are_spelled_out() -> None:
    assert text("a\u202eb\x1b[31m\x00") == "a\\u202eb\\x1b[31m\\x00"


def test_markup_is_not_escaped_twice_and_nothing_is_left_out() -> None:
    assert join(Markup("<b>"), None, "<b>", 3) == "<b>&lt;b&gt;3"
    assert tag("p", "x", class_="a b", aria_label="say", id=None) == '<p class="a b" aria-label="say">x</p>'
