"""Texts whose words are coloured by what each contributes."""

from __future__ import annotations

from collections.abc import Sequence

from qtr_runtime.html.markup import Markup, join, tag

POSITIVE = "var(--label-1)"
NEGATIVE = "var(--label-0)"
_STRONGEST = 60


def weighted_words(words: Sequence[tuple[str, float]], most: float) -> Markup:
    """Return a text, each word on a ground as strong as its contribution; the number is its tooltip.

    Parameters
    ----------
    words
        Words in the order of the text, with their contributions.
    most
        The contribution that has the strongest ground, above 0.
    """
    shown = [
        tag(
            "span",
            word,
            class_="weighted",
            style=f"--ground:{POSITIVE if value > 0 else NEGATIVE};--share:{_percent(value, most)}%",
            title=f"{value:+.2f}",
        )
        for word, value in words
    ]
    return tag("bdi", *(join(" " if number else None, part) for number, part in enumerate(shown)))


def _percent(value: float, most: float) -> int:
    return round(_STRONGEST * min(1.0, abs(value) / most)) if most > 0 else 0
