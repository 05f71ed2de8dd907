"""The file of a benchmark's result: what was measured, by which command, where, when, and each run's figure.

`benchmarks/results/` holds one file for each benchmark; `python -m benchmarks.page` makes the documentation of them. A
benchmark writes such a file with `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from qtr_runtime.resources import available_cpus

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = {"qtr": "qtr-relevance"} | {name: name for name in ("grpcio", "onnxruntime", "pyspark", "pyarrow")}


class Figure(BaseModel):
    """One measured quantity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    unit: str = Field(description="`s`, `ms`, `µs a pair`, `rows/s`, …; empty for a plain number.")
    values: list[float] = Field(min_length=1, description="Each run's figure; with `runs`, the lowest and the highest.")
    runs: int | None = Field(default=None, description="How many runs `values` is the range of.")
    median: float | None = None
    interval: tuple[float, float] | None = Field(
        default=None, description="Of a statistic; its confidence is in `note`."
    )
    note: str = ""


class BenchmarkResult(BaseModel):
    """What one benchmark found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    command: str
    machine: str
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    versions: dict[str, str]
    figures: list[Figure] = Field(min_length=1)
    note: str = ""

    def figure(self, name: str) -> Figure:
        """Return the figure of this name."""
        return next(figure for figure in self.figures if figure.name == name)


def read_results(folder: Path = FOLDER) -> dict[str, BenchmarkResult]:
    """Return every result of a folder by the name of its file."""
    return {
        path.stem: BenchmarkResult.model_validate_json(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


def write_result(path: Path | None, what: str, figures: Sequence[Figure], note: str = "") -> None:
    """Write the result of the benchmark that runs; nothing if there is no `path`."""
    if path is None:
        return
    result = BenchmarkResult(
        what=what,
        command=_command(),
        machine=f"{available_cpus()} cores, {platform.machine()}, {_processor()}",
        date=datetime.now(UTC).date().isoformat(),
        versions={"python": platform.python_version()} | _versions(),
        figures=list(figures),
        note=note,
    )
    path.write_text(json.dumps(result.model_dump(exclude_defaults=True), indent=2, ensure_ascii=False) + "\n")


def _command() -> str:
    module = sys.modules["__main__"].__spec__
    program = ["python", "-m", module.name] if module else ["python", sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


def _versions() -> dict[str, str]:
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found
