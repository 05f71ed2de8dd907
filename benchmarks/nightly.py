"""A run from command to published table: seconds by step, CPU seconds by program, memory over time.

python -m benchmarks.nightly run DATA [--output out/bench] [--cores 2] [--json FILE] [-- FLAGS OF qtr label]
python -m benchmarks.nightly flat --rows 20000000 [--output out/flat]

`run` labels a folder of Parquet files twice: into an empty output, and again with every pair known. `flat` generates a
large input, labels it, and prints the memory of each program over the scoring time. `benchmarks.nightly_breakdown`
measures the CPU time of each step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.make_dataset import make_rows
from benchmarks.processes import GROUPS, SERVERS, ProcessTree
from benchmarks.results_file import Figure, add_json_flag, write_result

ROWS_AT_A_TIME = 1_000_000


def label(
    data: Path, output: Path, date: str, flags: list[str]
) -> tuple[dict[str, Any], ProcessTree, dict[str, float]]:
    """Run `qtr label` once; return its last event, the samples, and the time of each event."""
    command = [sys.executable, "-m", "spark_jobs.label_pairs", "--input", str(data), "--output", str(output)]
    command += ["--run-date", date, "--log-format", "json", *flags]
    moments: dict[str, float] = {}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ProcessTree(process.pid) as tree,
    ):
        assert process.stdout is not None
        event: dict[str, Any] = {}
        for line in process.stdout:
            event = json.loads(line)
            moments.setdefault(event["msg"], tree.now())
            tree.sample()
        process.wait()
        moments["end"] = tree.now()
    if process.returncode:
        raise SystemExit(f"qtr label ended with {process.returncode}")
    return event, tree, moments


def describe(title: str, event: dict[str, Any], tree: ProcessTree, moments: dict[str, float]) -> list[Figure]:
    """Print one run; return its figures."""
    print(title)
    rows, pairs, seconds = event["rows"]["in"], event["pairs"], event["seconds"]
    print(f"{rows:,} rows, {pairs['distinct']:,} distinct pairs, {pairs['new']:,} of them new")
    print(f"  from command to published table, process started and ended: {moments['end']:.1f} s")
    print("  seconds by step: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    print(f"  rows/s while scoring: {event['rows_per_second']:,.0f}; pairs/s: {event['pairs_per_second'] or 0:,.0f}")
    windows = {"whole run": (0.0, moments["end"]), "while scoring": (moments["scoring"], moments["publishing"])}
    for name, window in windows.items():
        used = tree.between(*window)
        total = sum(used.values()) or 1.0
        parts = ", ".join(f"{group} {used[group]:.1f}" for group in GROUPS)
        print(f"  CPU seconds, {name}: {parts}; all but the servers {1 - used[SERVERS] / total:.0%} of {total:.1f}")
    figures = [
        Figure(name=f"{title}: from command to published table", unit="s", values=[round(moments["end"], 1)]),
        Figure(name=f"{title}: while scoring", unit="rows/s", values=[round(event["rows_per_second"])]),
    ]
    for group in GROUPS:
        most = max(one.rss.get(group, 0) for one in tree.samples)
        print(f"  memory, {group}: at most {most:,.0f} MB")
        figures.append(Figure(name=f"{title}: most memory, {group}", unit="MB", values=[round(most)]))
    return figures


def flatness(tree: ProcessTree, moments: dict[str, float]) -> None:
    """Print the median memory in each fifth of the scoring time."""
    start, end = moments["scoring"], moments["publishing"]
    for group in GROUPS:
        fifths = []
        for part in range(5):
            low, high = (start + (end - start) * (part + step) / 5 for step in (0, 1))
            fifths.append(
                statistics.median([one.rss.get(group, 0) for one in tree.samples if low <= one.at < high] or [0])
            )
        print(f"  memory while scoring by fifths, {group}: " + ", ".join(f"{value:,.0f}" for value in fifths) + " MB")


def make_flat_data(folder: Path, rows: int) -> None:
    """Write generated rows, a file for each million."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, start in enumerate(range(0, rows, ROWS_AT_A_TIME)):
        file = folder / f"part-{part:03d}.parquet"
        if not file.exists():
            pq.write_table(make_rows(min(ROWS_AT_A_TIME, rows - start), seed=part + 1), file)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["run", "flat"])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--output", type=Path, default=Path("out/bench"))
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--cores", type=int, default=2, help="cores that everything shares")
    parser.add_argument("flags", nargs="*", help="for qtr label, after --")
    add_json_flag(parser)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    output: Path = arguments.output
    shutil.rmtree(output / "run", ignore_errors=True)
    if arguments.mode == "run":
        if arguments.data is None:
            parser.error("run needs DATA: a folder of Parquet files")
        figures = []
        for title in ("an empty output", "again, everything known"):
            figures += describe(title, *label(arguments.data, output / "run", "2026-11-01", arguments.flags))
        write_result(arguments.json, "A run from command to published table", figures)
        return
    data = output / f"data-{arguments.rows}"
    make_flat_data(data, arguments.rows)
    outcome = label(data, output / "run", "2026-11-01", arguments.flags)
    figures = describe(f"{arguments.rows:,} rows", *outcome)
    flatness(*outcome[1:])
    write_result(arguments.json, f"A run over {arguments.rows:,} generated rows", figures)


if __name__ == "__main__":
    main()
