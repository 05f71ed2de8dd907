"""A server under hostile peers and bad conditions: effects on honest callers and on nightly runs.

python -m benchmarks.hostile [--seconds 600] [--processes 4] [--silent 200] [--rows 20000] [-- SERVER FLAGS]

Starts a server on loopback that may open 512 files. One run on the quiet server gives the expected rows. Then, at the
same time: every peer of `tests/support/hostile_peers.py` from several processes, silent connections, floods of more
connections than files, pauses by SIGSTOP; and as honest callers one without retries, one with our client, and one run
after the other. Prints a line per interval, then the findings. The exit status is 1 if

- a call of the client failed, or a call without retries failed with a status that docs/calling.md does not repeat,
- the server's memory exceeded the sum in docs/security.md,
- a run gave other rows than on the quiet server,
- so many liveness checks in a row failed that the kubelet would restart the pod,
- the server crashed, or did not end within its drain limit after SIGTERM while the peers went on.
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
MAX_FILES = 512
RUN_DATE = "2026-11-01"
INPUT = "rows.parquet"
INTERVAL_SECONDS = 10.0
# Any other status at the caller without retries is a fault.
REPEATABLE = ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")
TOLERANCE = 1e-5
DRAIN_SECONDS = 30.0  # the default of --drain-seconds
PROBE_TIMEOUT_SECONDS = 5.0
LIVENESS_FAILURES = 6  # failureThreshold in k8s/base/deployment.yaml


@dataclass(frozen=True)
class Options:
    """Duration, intensity, and flags of the server."""

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
    """Findings; `faults` should be empty."""

    faults: list[str] = field(default_factory=list)
    attempts: int = 0
    calls: int = 0
    checks: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    max_rss_mib: float = 0.0
    allowed_rss_mib: float = 0.0


def run(options: Options, folder: Path) -> Found:
    """Run all conditions at once for `options.seconds`, and return the findings; files go to `folder`."""
    found = Found()
    pq.write_table(make_rows(options.rows, seed=1), folder / INPUT)
    with ServerProcess(*options.flags, max_files=MAX_FILES) as server:
        process = psutil.Process(server.process.pid)
        found.allowed_rss_mib = rss_mib(process) + documented_mib()
        expected = label(folder / INPUT, folder / "quiet", server.address)
        if isinstance(expected, str):
            raise SystemExit(f"the run on a quiet server failed: {expected}")
        server.reading.clear()  # from here on the log has a stuck reader
        address, attempts = server.socket_address, list[str]()
        conditions = [peers(address, attempts) for _ in range(options.processes)]
        conditions.append(silence(address, options.silent))
        conditions.append(connection_floods(address, MAX_FILES, every_seconds=options.every_seconds))
        conditions.append(pauses(server, every_seconds=options.every_seconds, most_seconds=options.pause_seconds))
        with ExitStack() as hostile:
            with GoodCaller(server.address) as caller, HonestClient(server.address) as client:
                caller.wait_for(100)
                print(f"undisturbed: rss {rss_mib(process):.0f} MiB, p99 {p99_ms(caller.seconds):.1f} ms", flush=True)
                hostile.enter_context(all_at_once(conditions, seed=1))
                times = {"period_seconds": options.probe_seconds, "timeout_seconds": PROBE_TIMEOUT_SECONDS}
                with (
                    Probes(server.metrics_address or "", **times) as probes,
                    reporting(process, attempts, caller, client, found),
                ):
                    label_repeatedly(folder, expected, server, options.seconds, found)
            judge(found, caller, client, probes)
            # The hostile peers go on: the drain must end within its limit whatever they do.
            server.process.send_signal(signal.SIGTERM)
            try:
                status = server.process.wait(DRAIN_SECONDS + options.pause_seconds + 10)
            except subprocess.TimeoutExpired:
                server.process.kill()
                status = -signal.SIGKILL
            if status != 0:
                found.faults.append(f"the server ended with {status} after SIGTERM")
        found.attempts = len(attempts)
    return found


def label_repeatedly(folder: Path, expected: pa.Table, server: ServerProcess, seconds: float, found: Found) -> None:
    """Label the rows in `folder` repeatedly for `seconds`, at least once, and compare each result with `expected`."""
    until = time.monotonic() + seconds
    while not found.runs or time.monotonic() < until:
        found.runs += 1
        rows = label(folder / INPUT, folder / f"run-{found.runs}", server.address)
        difference = rows if isinstance(rows, str) else differences(expected, rows)
        if difference:
            found.faults.append(f"run {found.runs}: {difference}")
        if server.process.poll() is not None:
            found.faults.append("the server crashed")
            return


def judge(found: Found, caller: GoodCaller, client: HonestClient, probes: Probes) -> None:
    """Add the faults of the callers, the probes and the memory."""
    found.calls = len(caller.seconds) + client.calls
    for failure in caller.failures:
        code = failure.split(":")[0]
        found.refusals[code] += 1
        if code not in REPEATABLE:
            found.faults.append(f"without retries: {failure}")
    found.faults += [f"with our client: {failure}" for failure in client.failures]
    found.checks = probes.checks
    if probes.longest["/livez"] >= LIVENESS_FAILURES:
        found.faults.append(f"{probes.longest['/livez']} liveness checks in a row failed")
    if found.max_rss_mib > found.allowed_rss_mib:
        found.faults.append(
            f"the server took {found.max_rss_mib:.0f} MiB, docs/security.md allows {found.allowed_rss_mib:.0f}"
        )


def label(data: Path, output: Path, address: str) -> pa.Table | str:
    """Label `data` by a `qtr label` process; return the rows in order of their id, or its error."""
    flags = ["--input", data, "--output", output, "--run-date", RUN_DATE, "--target", address, "--log-format", "text"]
    command = [sys.executable, "-m", "spark_jobs.label_pairs", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"exit status {done.returncode}: {(done.stdout + done.stderr)[-1500:]}"
    columns = ["pair_id", "query", "title", "score", "label", "status", "error"]
    table = pq.read_table(output / "labels" / f"run_date={RUN_DATE}", columns=columns)
    return table.sort_by("pair_id")


def differences(expected: pa.Table, rows: pa.Table) -> str:
    """Return the first difference between two results, or "" if there is none."""
    if expected.num_rows != rows.num_rows:
        return f"{rows.num_rows} rows instead of {expected.num_rows}"
    for one, other in zip(expected.to_pylist(), rows.to_pylist(), strict=True):
        scores = one.pop("score"), other.pop("score")
        alike = scores[0] == scores[1] or (None not in scores and abs(scores[0] - scores[1]) <= TOLERANCE)
        if one != other or not alike:
            return f"{other} with score {scores[1]} instead of {one} with {scores[0]}"
    return ""


def documented_mib() -> float:
    """Return the sum in docs/security.md, and the cache, which is not part of it."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.split("## What it adds up to")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|") and line.endswith(" MiB |")]
    return 64 + sum(float(re.findall(r"(\d+) MiB \|$", line)[0]) for line in lines)


@contextmanager
def reporting(
    process: psutil.Process, attempts: list[str], caller: GoodCaller, client: HonestClient, found: Found
) -> Iterator[None]:
    """Print a line per interval, and record the highest memory, until the block ends."""
    stop = threading.Event()

    def watch() -> None:
        print("seconds  rss MiB  attempts  calls  p99 ms  refusals  by client  failed    runs", flush=True)
        began, next_line, told = time.monotonic(), INTERVAL_SECONDS, len(caller.seconds)
        while not stop.wait(0.2):
            memory = rss_mib(process)
            found.max_rss_mib = max(found.max_rss_mib, memory)
            now = time.monotonic() - began
            if now >= next_line:
                calls = len(caller.seconds)
                print(
                    f"{now:7.0f}  {memory:7.0f}  {len(attempts):8d}  {calls - told:5d}"
                    f"  {p99_ms(caller.seconds[told:calls]):6.0f}  {len(caller.failures):8d}"
                    f"  {client.calls:9d}  {len(client.failures):6d}  {found.runs:6d}",
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
    """Return the 99th percentile in milliseconds, or NaN for fewer than two."""
    return statistics.quantiles(seconds, n=100)[98] * 1000 if len(seconds) > 1 else float("nan")


def rss_mib(process: psutil.Process) -> float:
    """Return the resident memory in MiB; 0 once the process has ended."""
    try:
        return float(process.memory_info().rss) / (1 << 20)
    except psutil.NoSuchProcess:
        return 0.0


def main() -> int:
    """Run and print; return 1 if there are faults."""
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
        f" {found.runs} runs, highest rss {found.max_rss_mib:.0f} of {found.allowed_rss_mib:.0f} MiB"
    )
    for fault, times in Counter(found.faults).most_common(20):
        print(f"FAULT {times} x {fault}")
    return bool(found.faults)


if __name__ == "__main__":
    raise SystemExit(main())
