"""The job under faults: killed anywhere, short of disk, twice at once. Its output is compared row by row.

Every fault is real: signals to real processes, a full file system, a cluster of real daemons. The servers' faults are
in `test_client_faults.py`.
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from spark_jobs.storage.pair_keys import KEYS, PAIR_KEY, TITLE_KEY
from tests.spark_jobs.conftest import write_pairs
from tests.support.job_process import Job, until
from tests.support.kept_alive import free_port
from tests.support.scripted_server import ScriptedServer, score_of
from tests.support.standalone_cluster import StandaloneCluster

ROWS = 24_000
KILLS = 10
SLOW = ["--rows-per-rpc", "24", "--in-flight", "1"]

# Ten kills are a dozen starts of Spark.


def pair_of(row: int) -> tuple[str, str]:
    """Some pairs come twice."""
    number = row % (ROWS - 2_000)
    return f"query {number % 800}", f"title number {number % 5003} of {number % 7}"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("night") / "night.parquet", [pair_of(row) for row in range(ROWS)])


@pytest.fixture(scope="module")
def slow_server() -> Iterator[ScriptedServer]:
    """Answer each call a little late, so that a run lasts for some seconds."""
    with ScriptedServer(delay_seconds=0.004) as server:
        yield server


@pytest.fixture
def flags(night: Path, tmp_path: Path, slow_server: ScriptedServer) -> list[str]:
    return ["--input", str(night), "--output", str(tmp_path / "out"), "--target", slow_server.address, *SLOW]


def published(output: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output / "labels" / "run_date=2026-11-01").to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def assert_right(output: Path) -> None:
    """Every row once, with the score of its own pair, and nothing lies about."""
    rows = published(output)
    assert [row["id"] for row in rows] == list(range(ROWS))
    wrong = [
        row
        for row in rows
        if (row["query"], row["title"]) != pair_of(row["id"])
        or row["score"] != score_of(row["query"], row["title"])
        or row["label"] != ("relevant" if row["score"] >= 0.5 else "irrelevant")
    ]
    assert not wrong
    assert {path.name for path in output.iterdir()} == {"labels", "scores", "reports"}
    assert not list(output.rglob("_temporary"))


def in_store(output: Path) -> set[tuple[int, bytes]]:
    """Return the keys of the pairs that are committed."""
    tables = (pq.read_table(file, columns=list(KEYS)) for file in output.glob("scores/*/*/*/*/*.parquet"))
    return {(row[TITLE_KEY], row[PAIR_KEY]) for table in tables for row in table.to_pylist()}


class Reader(threading.Thread):
    """Reads the published folder again and again, as its users do."""

    def __init__(self, output: Path) -> None:
        super().__init__(daemon=True)
        self._folder = output / "labels" / "run_date=2026-11-01"
        self._over = threading.Event()
        self.seen: set[int] = set()

    def run(self) -> None:
        while not self._over.wait(0.01):
            # While one partition replaces another, files that were listed may be gone when they are opened.
            with suppress(FileNotFoundError):
                if files := list(self._folder.glob("*.parquet")):
                    self.seen.add(sum(pq.read_metadata(file).num_rows for file in files))

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_the_driver_killed_at_ten_random_moments(start: Callable[..., Job], flags: list[str], tmp_path: Path) -> None:
    begun = time.monotonic()
    start(flags).succeed()
    whole_seconds = time.monotonic() - begun
    assert_right(tmp_path / "out")
    # Two runs, each killed five times: with a full store there is little left to kill a run in.
    with ThreadPoolExecutor() as nights:
        outputs = [tmp_path / "one", tmp_path / "two"]
        for ended in [nights.submit(killed_night, start, flags, output, whole_seconds) for output in outputs]:
            ended.result()


def killed_night(start: Callable[..., Job], flags: list[str], output: Path, whole_seconds: float) -> None:
    """Kill a run again and again, look at what is left each time, and let it come to its end."""
    flags = [str(output) if before == "--output" else flag for before, flag in pairwise(["", *flags])]
    moments = random.Random(output.name)
    reader = Reader(output)
    reader.start()
    kept: set[tuple[int, bytes]] = set()
    for kill in range(KILLS // 2):
        job = start(flags)
        with suppress(psutil.TimeoutExpired):
            job.process.wait(timeout=moments.uniform(0.2, 1.2) * whole_seconds)
        if job.process.poll() is None:
            job.kill(whole=kill % 2 == 0)
        else:
            job.succeed()
        now = in_store(output)
        assert kept <= now, "what was committed is kept"
        kept = now
    start(flags).succeed()
    reader.stop()
    assert_right(output)
    assert reader.seen <= {ROWS}
    assert len(in_store(output)) == len({pair_of(row) for row in range(ROWS)})


def test_a_killed_run_is_resumed_and_scores_only_the_rest(
    start: Callable[..., Job], flags: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    job = start([*flags, "--partitions", "12"])
    until(lambda: list(output.glob("scores/*/*/*/*/*.parquet")))
    job.kill()
    kept = in_store(output)
    # The labels folder itself may exist: a run locks it.
    assert not list((output / "labels").glob("run_date=*"))
    event = start(flags).succeed()
    assert_right(output)
    assert event["pairs"]["new"] <= event["pairs"]["distinct"] - len(kept)


def test_a_rerun_that_finds_no_server_cleans_up_all_the_same(
    start: Callable[..., Job], flags: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    job = start(flags)
    until(lambda: list(output.glob("scores/**/_temporary/**/part-*")))
    job.kill()
    kept = in_store(output)
    status, _, err = start([*flags, "--target", f"127.0.0.1:{free_port()}", "--retry-budget-seconds", "1"]).finish()
    assert (status, err.count("\n")) == (1, 1), err
    assert not list(output.rglob("_temporary"))
    assert not (output / "_locks").exists()
    assert len(in_store(output)) >= len(kept)


def test_a_python_worker_that_dies(start: Callable[..., Job], flags: list[str], tmp_path: Path) -> None:
    job = start(flags)
    job.wait_for("scoring")
    until(lambda: list((tmp_path / "out").glob("scores/**/_temporary/**/part-*")))
    job.python_workers()[0].kill()
    job.succeed()
    assert_right(tmp_path / "out")


def test_an_executor_that_dies(start: Callable[..., Job], flags: list[str], tmp_path: Path) -> None:
    with StandaloneCluster(tmp_path) as cluster:
        command, env = cluster.submit()
        job = start(flags, command, **env)
        until(lambda: list((tmp_path / "out").glob("scores/**/_temporary/**/part-*")))
        cluster.executors()[0].kill()
        job.succeed()
    assert_right(tmp_path / "out")


def test_two_runs_of_one_date_at_once(start: Callable[..., Job], flags: list[str], tmp_path: Path) -> None:
    first = start(flags)
    first.wait_for("scoring")
    status, _, err = start(flags).finish()
    assert status == 4
    assert err.startswith(f"qtr label: run_date 2026-11-01 of {tmp_path / 'out'} is being labelled by another run: ")
    assert f"process {first.process.pid}" in err
    assert err.count("\n") == 1
    first.succeed()
    assert_right(tmp_path / "out")


def test_a_disk_full_when_publishing(start: Callable[..., Job], flags: list[str], tmp_path: Path) -> None:
    staging = tmp_path / "out" / "_staging"
    staging.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(staging)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        status, _, err = start(flags).finish()
        assert status == 2
        assert err == (
            "qtr label: there is no space left on the disk; nothing was published, what was scored is kept\n"
        )
        assert not (tmp_path / "out" / "labels").exists()
    finally:
        subprocess.run(["umount", str(staging)], check=True)
    assert start(flags).succeed()["pairs"]["new"] == 0
    assert_right(tmp_path / "out")


def test_killed_runs_with_servers_of_their_own_end_as_an_undisturbed_one(
    start: Callable[..., Job], night: Path, tmp_path: Path
) -> None:
    common = ["--input", str(night), "--servers", "1", "--rows-per-rpc", "32"]
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    start([*common, "--output", str(calm)]).succeed()
    job = start([*common, "--output", str(disturbed)])
    job.wait_for("scoring")
    (server,) = job.servers()
    until(lambda: list(disturbed.glob("scores/**/_temporary/**/part-*")))
    job.kill(whole=False)
    assert psutil.wait_procs([server])[0] == [server]
    start([*common, "--output", str(disturbed)]).succeed()
    for one, other in zip(published(disturbed), published(calm), strict=True):
        assert [one[key] for key in ("id", "query", "title", "label", "status", "error")] == [
            other[key] for key in ("id", "query", "title", "label", "status", "error")
        ]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
