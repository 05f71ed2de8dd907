"""Charts of the HTML report. Shapes are inline SVG, which stretches; words are HTML, which does not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spark_jobs.progress.rate import Point
from spark_jobs.quality.drift import MODERATE, STRONG, Drift
from spark_jobs.report.html import Markup, join, tag

_HEIGHT = 100
_WIDTH = 1000
_GAP = 0.07
_PSI_SHOWN = 0.4


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
    width = _WIDTH / max(1, len(counts))
    bars = []
    for number, (count, colour) in enumerate(zip(counts, colours, strict=True)):
        height = _HEIGHT * count / top
        low, high = number / len(counts), (number + 1) / len(counts)
        bars.append(
            tag(
                "rect",
                tag("title", f"{low:.2f} to {high:.2f}: {count:,} rows"),
                x=f"{(number + _GAP) * width:.2f}",
                y=f"{_HEIGHT - height:.2f}",
                width=f"{(1 - 2 * _GAP) * width:.2f}",
                height=f"{height:.2f}",
                style=f"fill:{colour}",
            )
        )
    outline = None
    if before:
        steps = [(number, _HEIGHT - _HEIGHT * count / top) for number, count in enumerate(before)]
        path = " ".join(f"H{number * width:.1f} V{y:.2f} H{(number + 1) * width:.1f}" for number, y in steps)
        outline = tag("path", d=f"M0 {_HEIGHT} {path} V{_HEIGHT}", class_="outline")
    mark = None
    if threshold is not None:
        side = " late" if threshold > 0.7 else ""
        mark = tag(
            "div", tag("span", f"threshold {threshold:.3g}"), class_=f"mark{side}", style=f"left:{threshold:.2%}"
        )
    return _plot(join(*bars, outline), top, [(part / 4, f"{part / 4:g}") for part in range(5)], label, mark)


def over_time(points: Sequence[Point], label: str) -> Markup:
    """Draw rows per second over seconds, with the mean as a line."""
    end = points[-1].seconds
    top = ceiling(max(point.rows_per_second for point in points))
    steps, then, rows = [], 0.0, 0.0
    for point in points:
        rows += point.rows_per_second * (point.seconds - then)
        then = point.seconds
        y = _HEIGHT - _HEIGHT * point.rows_per_second / top
        steps.append(f"V{y:.2f} H{_WIDTH * point.seconds / end:.2f}")
    mean = rows / end
    line = " ".join(steps)
    area = tag("path", d=f"M0 {_HEIGHT} {line} V{_HEIGHT} Z", class_="area")
    edge = tag("path", d=f"M0 {_HEIGHT} {line}", class_="edge")
    mark = tag("div", tag("span", f"mean {mean:,.0f}"), class_="level", style=f"bottom:{mean / top:.2%}")
    return _plot(join(area, edge), top, _time_ticks(end), label, mark)


def psi_scale(name: str, drift: Drift | None) -> Markup:
    """Draw a PSI on its scale, with its reading."""
    if drift is None:
        return tag("div", tag("h3", name), tag("p", "Nothing to compare.", class_="quiet"), class_="psi")
    zones = ((MODERATE, "stable"), (STRONG - MODERATE, "moderate"), (_PSI_SHOWN - STRONG, "strong"))
    left = min(drift.psi / _PSI_SHOWN, 1)
    scale = tag(
        "div",
        *(tag("span", word, class_=f"zone {word}", style=f"flex-grow:{100 * width:g}") for width, word in zones),
        tag("i", style=f"left:{left:.2%}"),
        class_="scale",
        role="img",
        aria_label=f"PSI {drift.psi:.3f} on a scale that is stable below {MODERATE} and strong above {STRONG}",
    )
    word = drift.reading
    head = tag(
        "div",
        tag("h3", name),
        tag("b", f"{drift.psi:.3f}", class_="figure"),
        tag("span", word, class_=f"word {word.replace(' ', '-')}"),
        class_="psi-head",
    )
    return tag("div", head, scale, class_="psi")


def bar(share: float, colour: str = "var(--accent)") -> Markup:
    """Draw one small bar; `share` is 0 to 1."""
    style = f"width:{min(max(share, 0), 1):.2%};background:{colour}"
    return tag("span", tag("span", style=style), class_="bar", aria_hidden="true")


def _plot(shapes: Markup, top: float, below: Iterable[tuple[float, str]], label: str, mark: Markup | None) -> Markup:
    ticks = [top * part / 4 for part in range(5)]
    return tag(
        "div",
        tag("div", *(tag("span", compact(tick)) for tick in reversed(ticks)), class_="y", aria_hidden="true"),
        tag(
            "div",
            tag(
                "svg",
                shapes,
                viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
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


def _time_ticks(end: float) -> list[tuple[float, str]]:
    """Choose round times from 0 to `end` seconds, each with its place from 0 to 1."""
    size, unit = next(
        (size, unit) for size, unit in ((3600, "h"), (60, "min"), (1, "s")) if end >= 3 * size or size == 1
    )
    step = ceiling(end / size / 5)
    count = int(end / size / step)
    return [
        (number * step * size / end, f"{number * step:g}" + f" {unit}" * (number == count))
        for number in range(count + 1)
    ]
