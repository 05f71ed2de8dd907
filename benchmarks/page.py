"""Write the figures of `benchmarks/results/` into the documentation: `python -m benchmarks.page`.

`docs/benchmarks.md` has all of them. The short table of the README, between its two markers, has those of `SHORT`.
`--check` writes nothing and ends with status 1 if one of the two is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.results_file import BenchmarkResult, Figure, read_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
MARKERS = ("<!-- benchmarks -->\n\n", "\n<!-- /benchmarks -->\n")
SECTIONS = {
    "Nightly runs": [
        "nightly-real",
        "nightly-second",
        "nightly-20-million",
        "nightly-generated",
        "nightly-breakdown",
        "nightly-query-cache",
        "nightly-jvm-compiler",
        "demo",
    ],
    "The service": ["service-single", "service-mixed", "service-overload", "service-start", "other-servers"],
    "The model": ["scorer-speed", "quality", "distillation", "sampling", "faithfulness"],
}
# A row of the README: what it says, the file, its figures; each `{}` of the last stands for one figure's value.
SHORT = [
    (
        "a run over 500,000 rows, 439,532 distinct pairs, from command to published table",
        "nightly-real",
        ["from command to published table"],
        "{}",
    ),
    (
        "20 million rows",
        "nightly-20-million",
        ["from command to published table", "while scoring"],
        "{}; {} while scoring",
    ),
    ("the model in one thread, tokenising included", "scorer-speed", ["in bulk"], "{} in bulk"),
    ("one pair at an idle server, median", "service-single", ["median"], "{}"),
    (
        "ROC AUC on 2,367 pairs judged by people, queries that it never saw (an electronics shop)",
        "quality",
        [
            "the student, as shipped: ROC AUC",
            "its teacher: a cross-encoder that has read titles, and decision trees: ROC AUC",
            "BM25: ROC AUC",
        ],
        "{}; its teacher {}; BM25 {}",
    ),
]
HEAD = """# Benchmarks

Every figure with the command that gives it. This page is written by `python -m benchmarks.page` from
`benchmarks/results/`, one file for each benchmark; most benchmarks write theirs with `--json FILE`.

Machines have faster and slower hours, and yours will give other figures by the same commands. The commands need what
`make test` installs. `DATA` is a folder of Parquet files with the columns `query` and `title`: ours, real texts paired
as a shop's log would pair them, is not shipped; `benchmarks.make_dataset` generates one. `VENV` is an environment with
mosec or LitServe.
"""


def page(results: dict[str, BenchmarkResult]) -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(results[name]) for name in names]
    return "\n".join(parts)


def _entry(result: BenchmarkResult) -> str:
    rows = "".join(f"| {figure.name} | {shown(figure)} |\n" for figure in result.figures)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    note = f"\n{result.note}\n" if result.note else ""
    return (
        f"### {result.what}\n\n```sh\n{result.command}\n```\n\n| figure | value |\n|---|---|\n{rows}{note}\n"
        f"*{result.date}; {versions}; {result.machine}.*\n"
    )


def shown(figure: Figure) -> str:
    """Return a figure's value as the page shows it: a range as `low to high`, several runs separated by commas.

    >>> shown(Figure(name="time", unit="s", values=[32.6, 35.5], runs=6))
    '32.6 to 35.5 s (6 runs)'
    >>> shown(Figure(name="time", unit="s", values=[581]))
    '9 min 41 s'
    >>> shown(Figure(name="AUC", unit="", values=[0.9], interval=(0.885, 0.942)))
    '0.900 [0.885, 0.942]'
    """
    text = _value(figure)
    if figure.runs:
        median = f", median {_number(figure.median)}" if figure.median is not None else ""
        text += f" ({figure.runs} runs{median})"
    return text + (f" ({figure.note})" if figure.note else "")


def short(figure: Figure) -> str:
    """Return a figure's value as the README shows it: the range of all runs."""
    spread = figure.model_copy(
        update={"values": sorted({min(figure.values), max(figure.values)}), "runs": len(figure.values)}
    )
    return _value(spread)


def _value(figure: Figure) -> str:
    if figure.interval:
        low, high = figure.interval
        return f"{figure.values[0]:.3f} [{low:.3f}, {high:.3f}]"
    unit = "" if not figure.unit else f" {figure.unit}"
    if figure.unit == "s" and len(figure.values) == 1 and figure.values[0] >= 180:
        minutes, seconds = divmod(round(figure.values[0]), 60)
        return f"{minutes} min {seconds} s"
    return (" to " if figure.runs else ", ").join(map(_number, figure.values)) + unit


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def short_table(results: dict[str, BenchmarkResult]) -> str:
    """Return the table of the README."""
    lines = ["| | |", "|---|---|"]
    for what, name, figures, pattern in SHORT:
        lines.append(f"| {what} | {pattern.format(*(short(results[name].figure(each)) for each in figures))} |")
    return "\n".join(lines) + "\n"


def readme(text: str, results: dict[str, BenchmarkResult]) -> str:
    """Return the README with its table up to date."""
    begin, end = MARKERS
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}{short_table(results)}{end}{tail}"


def main() -> int:
    """Write both, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a file is not up to date")
    arguments = parser.parse_args()
    results = read_results()
    wanted = {PAGE: page(results), README: readme(README.read_text(encoding="utf-8"), results)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments.check:
            print(f"{path.name} is not up to date: python -m benchmarks.page", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
