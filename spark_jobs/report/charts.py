"""Charts of the report that only a run has: its speed over time, and its drift."""

from __future__ import annotations

from collections.abc import Sequence

from qtr_runtime.html.charts import HEIGHT, WIDTH, ceiling, plot
from qtr_runtime.html.markup import Markup, join, tag
from spark_jobs.progress.rate import Point
from spark_jobs.quality.drift import MODERATE, STRONG, Drift

_PSI_SHOWN = 0.4


def over_time(points: Sequence[Point], label: str) -> Markup:
    """Draw rows per second over seconds, with the mean as a line."""
    end = points[-1].seconds
    top = ceiling(max(point.rows_per_second for point in points))
    steps, then, rows = [], 0.0, 0.0
    for point in points:
        rows += point.rows_per_second * (point.seconds - then)
        then = point.seconds
        y = HEIGHT - HEIGHT * point.rows_per_second / top
        steps.append(f"V{y:.2f} H{WIDTH * point.seconds / end:.2f}")
    mean = rows / end
    line = " ".join(steps)
    area = tag("path", d=f"M0 {HEIGHT} {line} V{HEIGHT} Z", class_="area")
    edge = tag("path", d=f"M0 {HEIGHT} {line}", class_="edge")
    mark = tag("div", tag("span", f"mean {mean:,.0f}"), class_="level", style=f"bottom:{mean / top:.2%}")
    return plot(join(area, edge), top, _time_ticks(end), label, mark)


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
