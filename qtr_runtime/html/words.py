"""Words with what each adds to a score: as coloured text, and as signed bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtr_runtime.html.markup import Markup, join, tag

# Weaker colours could not be told from the page.
_MIN_PERCENT = 8
_MAX_PERCENT = 70


@dataclass(frozen=True, slots=True)
class Word:
    """A word, what it adds to the logit, and the standard error of that."""

    word: str
    contribution: float
    standard_error: float = 0.0


def largest(words: Sequence[Word]) -> float:
    """Return the largest absolute contribution, the scale of colours and bars; above 0."""
    return max([abs(word.contribution) for word in words], default=0.0) or 1.0


def coloured_text(words: Sequence[Word], scale: float, unread: int = 0) -> Markup:
    """Return the words in a row, the stronger the colour the more a word adds; `scale` is that of the strongest."""
    shown = [
        tag(
            "span",
            tag("bdi", word.word),
            class_="for" if word.contribution >= 0 else "against",
            style=f"--strength:{_percent(word.contribution / scale)}%",
            title=signed(word),
        )
        for word in words
    ]
    rest = tag("span", f"… {unread} more that the model does not read", class_="nothing") if unread else None
    return tag("span", *(join(word, " ") for word in shown), rest, class_="words")


def signed_bars(words: Sequence[Word], scale: float) -> Markup:
    """Return a table with one row for each word: its bar, to the right if it speaks for relevance, and its number."""
    rows = []
    for word in words:
        share = min(abs(word.contribution) / scale, 1.0) * 50
        start = 50 if word.contribution >= 0 else 50 - share
        kind = "for" if word.contribution >= 0 else "against"
        bar = tag("i", class_=kind, style=f"left:{start:.2f}%;width:{share:.2f}%")
        error = _error(word, start + share if kind == "for" else start, scale) if word.standard_error else None
        rows.append(
            tag(
                "tr",
                tag("td", tag("bdi", word.word), class_="term"),
                tag("td", tag("div", bar, error, class_="signed", aria_hidden="true")),
                tag("td", signed(word), class_="num"),
            )
        )
    return tag("table", tag("tbody", *rows), class_="contributions")


def signed(word: Word) -> str:
    """Return the contribution with its sign, and its standard error if it has one.

    Examples
    --------
    >>> signed(Word("shoes", 1.183)), signed(Word("hose", 0.5, 0.031))
    ('+1.18', '+0.50 ± 0.03')
    """
    value = f"{round(word.contribution, 2) + 0.0:+.2f}".replace("-", "\u2212")
    return f"{value} ± {word.standard_error:.2f}" if word.standard_error else value


def _error(word: Word, end: float, scale: float) -> Markup:
    half = min(word.standard_error / scale * 50, 50.0)
    start = max(end - half, 0.0)
    return tag("b", style=f"left:{start:.2f}%;width:{min(end + half, 100.0) - start:.2f}%")


def _percent(share: float) -> int:
    return round(_MIN_PERCENT + (_MAX_PERCENT - _MIN_PERCENT) * min(abs(share), 1.0)) if round(share, 2) else 0
