"""What hostile peers and bad luck do to a server, to those who call it in good faith, and to a night.

python -m benchmarks.hostile [--seconds 600] [--processes 4] [--silent 200] [--rows 20000] [-- SERVER FLAGS]

Starts a server on loopback with 512 files to open and a log that nobody reads. A night is labelled in quiet, for its
right rows. Then, all at once: every peer of `tests/support/hostile_peers.py` from several processes, silent
connections, floods of connections beyond the files, pauses by SIGSTOP; beside them a caller without retries, a caller through our
client, and one night after the other. Prints a line an interval, then what was found; exit status 1 if

- a call of the client, or a call without retries beyond the refusals that docs/calling.md tells to repeat, failed,
- the server's memory grew over the sum in docs/security.md,
- a night did not come out row by row as in quiet,
- so many liveness checks in a row failed that the kubelet would restart the pod,
- the server broke down, or did not end within its drain limit after SIGTERM while the peers went on.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.make_dataset import make_rows
from tests.support.good_caller import GoodCaller
from tests.support.honest_client import HonestClient
from tests.support.hostile_conditions import all_at_once, connection_floods, pauses, peers, silence
from tests.support.probes import Probes
from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parent.parent
MOST_FILES = 512
RUN_DATE = "2026-11-01"
NIGHT = "night.parquet"
INTERVAL_SECONDS = 10.0
# Every other status that a caller without retries sees is a fault.
REPEATABLE = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")
TOLERANCE = 1e-5
DRAIN_SECONDS = 30.0  # the default of --drain-seconds
PROBE_TIMEOUT_SECONDS = 5.0
LIVENESS_FAILURES = 6  # failureThreshold in k8s/base/deployment.yaml


@dataclass(frozen=True)
class Options:
    """How long, how hard, and with which flags for the server."""

    seconds: float = 600
    processes: int = 4
    silent: int = 200
    rows: int = 20_000
    pause_seconds: float = 8.0
    every_seconds: float = 20.0
    probe_seconds: float = 10.0
    flags: Sequence[str] = ()


@dataclass
class Found:
    """What came of it; `faults` should be empty."""

    faults: list[str] = field(default_factory=list)
    attempts: int = 0
    calls: int = 0
    checks: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    nights: int = 0
    most_rss_mib: float = 0.0
    allowed_rss_mib: float = 0.0


def run(options: Options, folder: Path) -> Found:
    """Let everything happen at once for `options.seconds`, and say what was found; files go to `folder`."""
    found = Found()
    pq.write_table(make_rows(options.rows, seed=1), folder / NIGHT)
    with ServerProcess(*options.flags, max_files=MOST_FILES) as server:
        process = psutil.Process(server.process.pid)
        found.allowed_rss_mib = rss_mib(process) + documented_mib()
        right = label(folder / NIGHT, folder / "quiet", server.address)
        if isinstance(right, str):
            raise SystemExit(f"the night on a quiet server failed: {right}")
        host, port = server.address.rsplit(":", 1)
        address, attempts = (host, int(port)), list[str]()
        conditions = [peers(address, attempts) for _ in range(options.processes)]
        conditions.append(silence(address, options.silent))
        conditions.append(connection_floods(address, MOST_FILES, every_seconds=options.every_seconds))
        conditions.append(pauses(server, every_seconds=options.every_seconds, most_seconds=options.pause_seconds))
        with ExitStack() as hostile:
            with GoodCaller(server.address) as caller, HonestClient(server.address) as client:
                caller.wait_for(100)
                print(f"undisturbed: rss {rss_mib(process):.0f} MiB, p99 {p99_ms(caller.seconds):.1f} ms", flush=True)
                hostile.enter_context(all_at_once(conditions, seed=1))
                times = {"period_seconds": options.probe_seconds, "timeout_seconds": PROBE_TIMEOUT_SECONDS}
                with Probes(server.address, **times) as probes, reporting(process, attempts, caller, client, found):
                    label_again_and_again(folder, right, server, options.seconds, found)
            judge(found, caller, client, probes)
            # The hostile peers go on: the drain must end within its limit whatever they do.
            server.process.send_signal(signal.SIGTERM)
            try:
                status = server.finish(DRAIN_SECONDS + options.pause_seconds + 10)
            except subprocess.TimeoutExpired:
                server.process.kill()
                status = -signal.SIGKILL
            if status != 0:
                found.faults.append(f"the server ended with {status} after SIGTERM")
        found.attempts = len(attempts)
    return found


def label_again_and_again(folder: Path, right: pa.Table, server: ServerProcess, seconds: float, found: Found) -> None:
    """Label the night in `folder`, at least once, for `seconds`, and compare it with the right rows each time."""
    until = time.monotonic() + seconds
    while not found.nights or time.monotonic() < until:
        found.nights += 1
        rows = label(folder / NIGHT, folder / f"night-{found.nights}", server.address)
        difference = rows if isinstance(rows, str) else differences(right, rows)
        if difference:
            found.faults.append(f"night {found.nights}: {difference}")
        if server.process.poll() is not None:
            found.faults.append("the server broke down")
            return


def judge(found: Found, caller: GoodCaller, client: HonestClient, probes: Probes) -> None:
    """Note what went wrong for the callers and for memory."""
    found.calls = len(caller.seconds) + client.calls
    for failure in caller.failures:
        code = failure.split(":")[0]
        found.refusals[code] += 1
        if code not in REPEATABLE:
            found.faults.append(f"without retries: {failure}")
    found.faults += [f"with our client: {failure}" for failure in client.failures]
    found.checks = probes.checks
    if probes.longest["liveness"] >= LIVENESS_FAILURES:
        found.faults.append(f"{probes.longest['liveness']} liveness checks in a row failed")
    if found.most_rss_mib > found.allowed_rss_mib:
        found.faults.append(
            f"the server took {found.most_rss_mib:.0f} MiB, docs/security.md allows {found.allowed_rss_mib:.0f}"
        )


def label(night: Path, output: Path, address: str) -> pa.Table | str:
    """Label `night` by `qtr label` in a process of its own; return the rows by their id, or what it said."""
    flags = ["--input", night, "--output", output, "--run-date", RUN_DATE, "--target", address, "--log-format", "text"]
    command = [sys.executable, "-m", "spark_jobs.label_pairs", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"exit status {done.returncode}: {(done.stdout + done.stderr)[-1500:]}"
    columns = ["pair_id", "query", "title", "score", "label", "status", "error"]
    table = pq.read_table(output / "labels" / f"run_date={RUN_DATE}", columns=columns)
    return table.sort_by("pair_id")


def differences(right: pa.Table, rows: pa.Table) -> str:
    """Say how two nights differ; empty if row by row they do not."""
    if right.num_rows != rows.num_rows:
        return f"{rows.num_rows} rows instead of {right.num_rows}"
    for one, other in zip(right.to_pylist(), rows.to_pylist(), strict=True):
        scores = one.pop("score"), other.pop("score")
        alike = scores[0] == scores[1] or (None not in scores and abs(scores[0] - scores[1]) <= TOLERANCE)
        if one != other or not alike:
            return f"{other} with score {scores[1]} instead of {one} with {scores[0]}"
    return ""


def documented_mib() -> float:
    """Return the sum of docs/security.md, with the cache that it leaves out."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.split("## What it adds up to")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|") and line.endswith(" MiB |")]
    return 64 + sum(float(re.findall(r"(\d+) MiB \|$", line)[0]) for line in lines)


@contextmanager
def reporting(
    process: psutil.Process, attempts: list[str], caller: GoodCaller, client: HonestClient, found: Found
) -> Iterator[None]:
    """Print a line an interval, and keep the highest memory seen, until the block ends."""
    stop = threading.Event()

    def watch() -> None:
        print("seconds  rss MiB  attempts  calls  p99 ms  refusals  by client  failed  nights", flush=True)
        began, next_line, told = time.monotonic(), INTERVAL_SECONDS, len(caller.seconds)
        while not stop.wait(0.2):
            memory = rss_mib(process)
            found.most_rss_mib = max(found.most_rss_mib, memory)
            now = time.monotonic() - began
            if now >= next_line:
                calls = len(caller.seconds)
                print(
                    f"{now:7.0f}  {memory:7.0f}  {len(attempts):8d}  {calls - told:5d}"
                    f"  {p99_ms(caller.seconds[told:calls]):6.0f}  {len(caller.failures):8d}"
                    f"  {client.calls:9d}  {len(client.failures):6d}  {found.nights:6d}",
                    flush=True,
                )
                next_line, told = now + INTERVAL_SECONDS, calls

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def p99_ms(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds; NaN of too few."""
    return statistics.quantiles(seconds, n=100)[98] * 1000 if len(seconds) > 1 else float("nan")


def rss_mib(process: psutil.Process) -> float:
    """Return the resident memory in MiB; 0 once the process has ended."""
    try:
        return float(process.memory_info().rss) / (1 << 20)
    except psutil.NoSuchProcess:
        return 0.0


def main() -> int:
    """Run and print; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("seconds", "processes", "silent", "rows"):
        default = getattr(Options, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("flags", nargs="*", help="for the server, after --")
    with tempfile.TemporaryDirectory() as folder:
        found = run(Options(**vars(parser.parse_args())), Path(folder))
    print(
        f"{found.attempts} attempts, {found.calls} honest calls, {found.checks} health checks,"
        f" refusals {dict(found.refusals)},"
        f" {found.nights} nights, most rss {found.most_rss_mib:.0f} of {found.allowed_rss_mib:.0f} MiB"
    )
    for fault, times in Counter(found.faults).most_common(20):
        print(f"FAULT {times} x {fault}")
    return bool(found.faults)


if __name__ == "__main__":
    raise SystemExit(main())
