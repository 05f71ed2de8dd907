"""The cards about performance: throughput, time of each step, slowest partitions."""

from __future__ import annotations

from qtr_runtime.html.charts import bar
from qtr_runtime.html.components import card, num_head
from qtr_runtime.html.markup import Markup, tag
from qtr_runtime.terminal import duration
from spark_jobs.report.charts import over_time
from spark_jobs.report.run_report import RunReport


def throughput(report: RunReport) -> Markup:
    """Show pairs per second over the time of scoring."""
    points = report.throughput
    if not points or points[-1].seconds <= 0:
        return card("Throughput", "The scoring step was too short for a chart.")
    chart = over_time(points, f"Pairs per second over {points[-1].seconds:.0f} seconds of scoring")
    return card("Throughput", "Pairs per second while scoring, as Spark reported them during the run.", chart)


def seconds(report: RunReport) -> Markup:
    """Show the time of each step."""
    steps = {name: seconds for name, seconds in report.seconds.items() if name != "total"}
    total = report.seconds.get("total", 0.0)
    rest = total - sum(steps.values())
    if rest > 0.05 * total:
        steps["other"] = rest
    longest = max(steps.values(), default=0.0) or 1.0
    rows = (
        tag(
            "tr",
            tag("td", name),
            tag("td", bar(seconds / longest), class_="grow"),
            tag("td", duration(seconds), class_="num"),
            tag("td", f"{seconds / total:.0%}" if total else "", class_="num quiet"),
        )
        for name, seconds in steps.items()
    )
    head = tag("tr", tag("th", "Step", scope="col"), tag("th", ""), num_head("Time"), num_head("Share"))
    return card("Time", f"The run took {duration(total)}.", tag("table", tag("thead", head), tag("tbody", *rows)))


def partitions(report: RunReport) -> Markup | None:
    """Show the slowest tasks of the scoring step."""
    found = report.partitions
    if found is None or not found.slowest:
        return None
    longest = max(task.seconds for task in found.slowest) or 1.0
    rows = [
        tag(
            "tr",
            tag("td", f"{task.partition}"),
            tag("td", bar(task.seconds / longest), class_="grow"),
            tag("td", duration(task.seconds), class_="num"),
            tag("td", f"{task.rows:,}", class_="num"),
            tag("td", task.host, class_="mono optional"),
        )
        for task in found.slowest
    ]
    heads = [tag("th", "Partition", scope="col"), tag("th", ""), num_head("Time"), num_head("Pairs")]
    heads.append(tag("th", "Host", scope="col", class_="optional"))
    return card(
        "Slowest partitions",
        f"Of {found.tasks:,} in the scoring step; the median took {duration(found.median_seconds)}.",
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows)),
        wide=True,
    )
