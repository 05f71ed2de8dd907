"""`qtr tune`: find the best settings of `qtr serve` for this machine, by measurement.

Each combination of settings is served by real server processes, one per `threads` cores, under bulk calls that saturate
them and an interactive caller of single pairs. The best has the highest bulk throughput among those whose interactive
p99 is within the bound.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from rich.console import Console
from rich.table import Table

from qtr.load_generator import Load, Pair, percentile, run
from qtr_runtime.resources import available_cpus
from qtr_runtime.server_process import ServerEndedError, ServerProcess
from qtr_runtime.settings import ProgramSettings, usage_error

_CALL_ROWS = 256
_START_SECONDS = 60.0


class TuneSettings(ProgramSettings):
    """Measures settings of `qtr serve` on this machine, and writes the best ones as a file for `qtr serve --config`."""

    prog: ClassVar[str] = "qtr tune"

    pairs: Path = Field(description="Real pairs, columns query and title: a Parquet file or folder, or JSON lines.")
    output: Path = Field(default=Path("qtr-serve.toml"), description="Settings file to write.")
    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    p99_ms: float = Field(default=25.0, gt=0, description="Bound on the interactive p99 under bulk load.")
    cpus: int = Field(default_factory=available_cpus, ge=1, description="Cores to fill; those available if absent.")
    threads: list[int] = Field(default_factory=lambda: [1, 2], description="Threads to try; repeat for more.")
    micro_batch: list[int] = Field(default_factory=lambda: [16, 32, 64], description="Micro-batches to try.")
    mixed_batch_tokens: list[int] = Field(
        default=[1024, 2048, 4096], description="Token budgets to try for a bulk batch beside interactive traffic."
    )
    seconds: float = Field(default=3.0, gt=0, description="Seconds to measure each combination.")


@dataclass(frozen=True)
class Trial:
    """One combination of settings and its measurements."""

    threads: int
    micro_batch: int
    mixed_batch_tokens: int
    pairs_per_second: float
    bulk_p99_ms: float
    interactive_p50_ms: float
    interactive_p99_ms: float

    def dominated_by(self, other: Trial) -> bool:
        """Return whether `other` is at least as good in throughput and interactive p99, and better in one."""
        ours = (self.pairs_per_second, -self.interactive_p99_ms)
        theirs = (other.pairs_per_second, -other.interactive_p99_ms)
        return theirs != ours and theirs[0] >= ours[0] and theirs[1] >= ours[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all combinations, print the table, write the file; return the exit status."""
    settings = TuneSettings.parse(sys.argv[1:] if argv is None else argv)
    pairs = read_pairs(settings.pairs, settings.prog)
    console = Console()
    trials: list[Trial] = []
    grid = list(itertools.product(settings.threads, settings.micro_batch, settings.mixed_batch_tokens))
    grid = [point for point in grid if point[0] <= settings.cpus]
    if not grid:
        usage_error(TuneSettings.prog, f"--threads: each value is above the {settings.cpus} cores to fill")
    with console.status("") as status:
        for done, (threads, micro_batch, budget) in enumerate(grid):
            status.update(f"{done} of {len(grid)}: threads {threads}, micro-batch {micro_batch}, budget {budget}")
            trials.append(_try(settings, pairs, threads, micro_batch, budget))
    _print(console, trials)
    within = [trial for trial in trials if trial.interactive_p99_ms <= settings.p99_ms]
    if not within:
        lowest = min(trial.interactive_p99_ms for trial in trials)
        print(
            f"qtr tune: no combination keeps the p99 within {settings.p99_ms:g} ms; the lowest is {lowest:.1f} ms",
            file=sys.stderr,
        )
        return 1
    best = max(within, key=lambda trial: trial.pairs_per_second)
    try:
        write_settings(settings.output, best, settings)
    except OSError as error:
        usage_error(settings.prog, f"--output: {settings.output} cannot be written ({error.strerror})")
    console.print(f"best within {settings.p99_ms:g} ms: {best.pairs_per_second:,.0f} pairs/s; wrote {settings.output}")
    return 0


def read_pairs(source: Path, prog: str) -> list[Pair]:
    """Return the pairs of a file, sorted by title as the job sends them, or end the program `prog` with an error."""
    try:
        if source.suffix in {".jsonl", ".json"}:
            rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
            pairs = [(row["query"], row["title"]) for row in rows]
        else:
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(source, columns=["query", "title"])
            pairs = list(zip(table["query"].to_pylist(), table["title"].to_pylist(), strict=True))
    except ModuleNotFoundError:
        usage_error(
            prog, f"--pairs: {source}: reading Parquet needs pyarrow, which is not installed; JSON lines do not"
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        usage_error(prog, f"--pairs: {source} cannot be read as pairs ({error})")
    # A lone surrogate cannot be sent, and a null is not a pair.
    pairs = [pair for pair in dict.fromkeys(pairs) if all(isinstance(t, str) and t.isprintable() and t for t in pair)]
    if len(pairs) < _CALL_ROWS:
        usage_error(prog, f"--pairs: {source} has {len(pairs)} usable pairs, at least {_CALL_ROWS} are needed")
    return sorted(pairs, key=lambda pair: pair[1])


@contextmanager
def serving(flags: Sequence[str], prog: str) -> Iterator[str]:
    """Run one server and yield its address, or end the program `prog` with the server's own error."""
    with ServerProcess("--no-metrics", *flags) as server:
        try:
            address = str(server.wait_until_serving(_START_SECONDS)["address"])
        except (ServerEndedError, TimeoutError) as error:
            usage_error(prog, str(error))
        yield address


def _try(settings: TuneSettings, pairs: list[Pair], threads: int, micro_batch: int, budget: int) -> Trial:
    flags = [f"--threads={threads}", f"--micro-batch={micro_batch}", f"--mixed-batch-tokens={budget}"]
    if settings.bundle:
        flags.append(f"--bundle={settings.bundle}")
    servers = max(1, settings.cpus // threads)
    load = Load(
        bulk_callers=4 * servers, rows=_CALL_ROWS, interactive_callers=1, pause_seconds=0.01, seconds=settings.seconds
    )
    with ExitStack() as stack:
        addresses = [stack.enter_context(serving(flags, settings.prog)) for _ in range(servers)]
        measured = run(f"ipv4:{','.join(addresses)}", pairs, load)
    return Trial(
        threads,
        micro_batch,
        budget,
        measured.pairs_per_second,
        percentile(measured.bulk_latencies, 0.99),
        percentile(measured.interactive_latencies, 0.5),
        percentile(measured.interactive_latencies, 0.99),
    )


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials on the Pareto front of throughput and interactive p99."""
    return [trial for trial in trials if not any(trial.dominated_by(other) for other in trials)]


def write_settings(path: Path, best: Trial, settings: TuneSettings) -> None:
    """Write the settings file that `qtr serve --config` reads."""
    path.write_text(
        f"# Measured by qtr tune on {settings.cpus} cores: {best.pairs_per_second:.0f} pairs/s, interactive p99 "
        f"{best.interactive_p99_ms:.1f} ms under load.\n"
        f"threads = {best.threads}\nmicro_batch = {best.micro_batch}\nmixed_batch_tokens = {best.mixed_batch_tokens}\n",
        encoding="utf-8",
    )


def _print(console: Console, trials: list[Trial]) -> None:
    front = pareto_front(trials)
    table = Table(title="* on the Pareto front of throughput and interactive p99", title_justify="left")
    for heading in (
        "",
        "threads",
        "micro-batch",
        "budget",
        "pairs/s",
        "bulk p99 ms",
        "interactive p50 ms",
        "interactive p99 ms",
    ):
        table.add_column(heading, justify="right")
    for trial in sorted(trials, key=lambda trial: -trial.pairs_per_second):
        table.add_row(
            "*" if trial in front else "",
            str(trial.threads),
            str(trial.micro_batch),
            str(trial.mixed_batch_tokens),
            f"{trial.pairs_per_second:,.0f}",
            f"{trial.bulk_p99_ms:.1f}",
            f"{trial.interactive_p50_ms:.1f}",
            f"{trial.interactive_p99_ms:.1f}",
        )
    console.print(table)
