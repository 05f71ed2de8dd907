"""Charts of a page. Shapes are inline SVG, which stretches; words are HTML, which does not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qtr_runtime.html.markup import Markup, join, tag

HEIGHT = 100
WIDTH = 1000
_GAP = 0.07
_MOST_POINTS = 240
# From here on, the words of a mark stand on its left.
_LATE = 0.7


@dataclass(frozen=True)
class Slice:
    """One part of a stacked bar."""

    name: str
    value: float
    shown: str
    colour: str


def compact(value: float) -> str:
    """Write a number for an axis: `950`, `12k`, `1.5M`."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def ceiling(most: float) -> float:
    """Return the next round number at or above `most`, which four steps divide evenly."""
    if most <= 0:
        return 1.0
    size: float = 10 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 2, 4, 6, 8, 10) if step * size >= most)


def stacked_bar(slices: Sequence[Slice], label: str) -> Markup:
    """Draw shares of one whole; the legend is beside it."""
    shown = [part for part in slices if part.value > 0]
    whole = sum(part.value for part in shown)
    return tag(
        "div",
        *(
            tag("span", style=f"flex-grow:{100 * part.value / whole:.4f};background:{part.colour}", title=part.shown)
            for part in shown
        ),
        class_="stack",
        role="img",
        aria_label=f"{label}: " + ", ".join(f"{part.name} {part.shown}" for part in slices),
    )


def histogram(
    counts: Sequence[int],
    colours: Sequence[str],
    *,
    label: str,
    threshold: float | None = None,
    before: Sequence[float] | None = None,
) -> Markup:
    """Draw a histogram of scores from 0 to 1.

    Parameters
    ----------
    counts, colours
        Rows and colour of each bin.
    label
        Description of the chart for screen readers.
    threshold
        Where to draw a vertical line.
    before
        Another histogram in the same unit, drawn as an outline on top.
    """
    top = ceiling(max([*counts, *(before or ())], default=0))
    width = WIDTH / max(1, len(counts))
    bars = []
    for number, (count, colour) in enumerate(zip(counts, colours, strict=True)):
        height = HEIGHT * count / top
        low, high = number / len(counts), (number + 1) / len(counts)
        bars.append(
            tag(
                "rect",
                tag("title", f"{low:.2f} to {high:.2f}: {count:,} rows"),
                x=f"{(number + _GAP) * width:.2f}",
                y=f"{HEIGHT - height:.2f}",
                width=f"{(1 - 2 * _GAP) * width:.2f}",
                height=f"{height:.2f}",
                style=f"fill:{colour}",
            )
        )
    outline = None
    if before:
        steps = [(number, HEIGHT - HEIGHT * count / top) for number, count in enumerate(before)]
        path = " ".join(f"H{number * width:.1f} V{y:.2f} H{(number + 1) * width:.1f}" for number, y in steps)
        outline = tag("path", d=f"M0 {HEIGHT} {path} V{HEIGHT}", class_="outline")
    mark = None
    if threshold is not None:
        side = " late" if threshold > _LATE else ""
        mark = tag(
            "div", tag("span", f"threshold {threshold:.3g}"), class_=f"mark{side}", style=f"left:{threshold:.2%}"
        )
    return plot(join(*bars, outline), top, [(part / 4, f"{part / 4:g}") for part in range(5)], label, mark)


@dataclass(frozen=True)
class Line:
    """One line of a chart: its points, x and y from 0 to 1, x ascending."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str


@dataclass(frozen=True)
class Dot:
    """One point of a chart, x and y from 0 to 1, with the interval of y and the words of its tooltip."""

    x: float
    y: float
    low: float
    high: float
    words: str


def lines(
    drawn: Sequence[Line],
    *,
    label: str,
    dots: Sequence[Dot] = (),
    diagonal: bool = False,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draw lines, the first on top, and dots with their intervals, in a square from 0 to 1.

    Parameters
    ----------
    drawn, dots
        What to draw.
    label
        Description of the chart for screen readers.
    diagonal
        Whether to draw the line x = y.
    mark
        Where to draw a vertical line, and its words.
    """
    shapes = [
        tag("path", tag("title", line.name), d=_path(line), class_="line", style=f"stroke:{line.colour}")
        for line in reversed(drawn)
    ]
    if diagonal:
        shapes.insert(0, tag("path", d=f"M0 {HEIGHT} L{WIDTH} 0", class_="diagonal"))
    spots = [
        join(
            tag("i", class_="whisker", style=f"left:{dot.x:.2%};bottom:{dot.low:.2%};height:{dot.high - dot.low:.2%}"),
            tag("i", class_="dot", style=f"left:{dot.x:.2%};bottom:{dot.y:.2%}", title=dot.words),
        )
        for dot in dots
    ]
    place = None
    if mark is not None:
        side = " late" if mark[0] > _LATE else ""
        place = tag("div", tag("span", mark[1]), class_=f"mark{side}", style=f"left:{mark[0]:.2%}")
    ticks = [(part / 4, f"{part / 4:g}") for part in range(5)]
    return plot(join(*shapes), 1.0, ticks, label, join(*spots, place))


def legend(drawn: Sequence[Line]) -> Markup:
    """Name the lines of a chart."""
    items = (tag("li", tag("i", class_="key", style=f"background:{line.colour}"), line.name) for line in drawn)
    return tag("ul", *items, class_="legend")


def _path(line: Line) -> str:
    """Return the path of a line, with no more points than can be seen."""
    count = len(line.x)
    step = max(1, count // _MOST_POINTS)
    points = [*range(0, count, step), *([count - 1] if count else [])]
    words = [f"{line.x[i] * WIDTH:.1f} {(1 - line.y[i]) * HEIGHT:.2f}" for i in points]
    return "M" + " L".join(words) if words else ""


def bar(share: float, colour: str = "var(--accent)") -> Markup:
    """Draw one small bar; `share` is 0 to 1."""
    style = f"width:{min(max(share, 0), 1):.2%};background:{colour}"
    return tag("span", tag("span", style=style), class_="bar", aria_hidden="true")


def plot(shapes: Markup, top: float, below: Iterable[tuple[float, str]], label: str, mark: Markup | None) -> Markup:
    """Frame the shapes of a chart with its axes; `below` has the words of the x axis and their places from 0 to 1."""
    ticks = [top * part / 4 for part in range(5)]
    return tag(
        "div",
        tag("div", *(tag("span", compact(tick)) for tick in reversed(ticks)), class_="y", aria_hidden="true"),
        tag(
            "div",
            tag(
                "svg",
                shapes,
                viewBox=f"0 0 {WIDTH} {HEIGHT}",
                preserveAspectRatio="none",
                role="img",
                aria_label=label,
            ),
            mark,
            class_="area-of-plot",
        ),
        tag(
            "div",
            *(tag("span", word, style=f"left:{place:.2%}") for place, word in below),
            class_="x",
            aria_hidden="true",
        ),
        class_="plot",
    )
