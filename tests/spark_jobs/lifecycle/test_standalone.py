"""The same job on a standalone cluster: a master, two workers, executors in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.spark_jobs.conftest import write_pairs
from tests.support.job_process import Job
from tests.support.scripted_server import ScriptedServer, score_of
from tests.support.standalone_cluster import StandaloneCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    with StandaloneCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_a_run_on_two_workers_and_the_next_one(
    cluster: StandaloneCluster, start: Callable[..., Job], tmp_path: Path, scripted: ScriptedServer
) -> None:
    command, env = cluster.submit()
    pairs = [(f"query {row % 50}", f"title {row % 700}") for row in range(1000)]
    file = write_pairs(tmp_path / "pairs.parquet", pairs)
    flags = ["--input", str(file), "--output", str(tmp_path / "out"), "--target", scripted.address]
    assert start(flags, command, **env).finish()[::2] == (0, "")
    table = pq.read_table(tmp_path / "out" / "labels" / "run_date=2026-11-01")
    rows = sorted(table.to_pylist(), key=lambda row: row["id"])
    assert [(row["query"], row["title"], row["score"]) for row in rows] == [
        (query, title, score_of(query, title)) for query, title in pairs
    ]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"labels", "scores", "reports"}


def test_a_run_without_executors_fails_and_gives_its_date_free(
    start: Callable[..., Job], tmp_path: Path, scripted: ScriptedServer
) -> None:
    file, out = write_pairs(tmp_path / "pairs.parquet", [("a", "b")]), tmp_path / "out"
    flags = ["--input", str(file), "--output", str(out), "--target", scripted.address, "--log-format", "json"]
    with StandaloneCluster(tmp_path, workers=0) as empty:
        command, env = empty.submit()
        # Longer than five seconds, after which the first event about the progress comes.
        job = start([*flags, "--executor-timeout-seconds", "8"], command, **env)
        status, log, _ = job.finish()
    assert status == 1
    assert "qtr label: no executor has registered for 8 s (--executor-timeout-seconds): the cluster has no room" in log
    assert '"waiting_for": "executors"' in log
    assert "Traceback" not in log
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_servers_of_its_own_are_refused_on_a_cluster(
    cluster: StandaloneCluster, start: Callable[..., Job], tmp_path: Path
) -> None:
    command, env = cluster.submit()
    file = write_pairs(tmp_path / "pairs.parquet", [("a", "b")])
    # spark-submit gives both streams as one.
    status, out, _ = start(["--input", str(file), "--output", str(tmp_path / "out")], command, **env).finish()
    assert status == 2
    assert f"qtr label: --target is required with the master {cluster.master}: " in out
    assert not (tmp_path / "out").exists()
