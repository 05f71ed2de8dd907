"""Whole runs as processes of their own: the launcher, embedded servers, signals, and Java from PyPI."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from spark_jobs.errors import ServerLostError, SetupError
from spark_jobs.lifecycle.java import java_home
from spark_jobs.lifecycle.local_servers import LocalServers
from tests.spark_jobs.conftest import write_pairs
from tests.support.job_process import MODULE, ROOT, Job, until
from tests.support.stuck_pipe import StuckPipe


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """Enough distinct pairs to be still scoring when the first results are written."""
    words = [f"word{number}" for number in range(97)]
    pairs = [
        (f"{words[row % 97]} {words[row % 89]}", f"{words[row % 83]} {words[row % 79]} number {row} of many")
        for row in range(60_000)
    ]
    return write_pairs(tmp_path / "pairs.parquet", pairs)


@pytest.mark.parametrize("launcher", ["module", "spark-submit"])
def test_a_run_with_embedded_servers_and_a_clean_terminal(
    start: Callable[..., Job], tmp_path: Path, launcher: str
) -> None:
    pairs = [("kettle", "electric kettle"), ("kettle", "electric kettle"), (None, "x")]
    file, output = write_pairs(tmp_path / "a.parquet", pairs), tmp_path / "out"
    flags = ["--input", str(file), "--output", str(output), "--servers", "1"]
    if launcher == "module":
        # No Java to be found: the one from PyPI has to do.
        tools = tmp_path / "bin"
        tools.mkdir()
        for tool in ("bash", "chmod", "dirname", "env", "ls", "rm", "sh"):
            (tools / tool).symlink_to(_which(tool))
        job = start(flags, PATH=str(tools), JAVA_HOME="", XDG_CACHE_HOME=str(tmp_path / "cache"))
    else:
        submit = [str(Path(sys.executable).with_name("spark-submit")), str(ROOT / "spark_jobs" / "label_pairs.py")]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        conf = str(ROOT / "spark_jobs" / "lifecycle" / "conf")
        job = start(flags, submit, JAVA_HOME=str(java_home()), SPARK_CONF_DIR=conf, PATH=path)
    status, out, err = job.finish()
    assert (status, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    said = [event["msg"] for event in events if event["msg"] != "progress"]
    assert said == ["starting Spark and embedded servers", "reading", "scoring", "publishing", "run finished"]
    table = pq.ParquetDataset(output / "labels").read()
    assert sorted(table.column("status").to_pylist()) == ["INVALID_ARGUMENT", "OK", "OK"]
    assert {path.name for path in output.iterdir()} <= {"labels", "scores", "reports"}


@pytest.mark.parametrize("reader", ["stuck", "gone", "closed"])
def test_a_run_is_published_whatever_happens_to_the_reader_of_its_log(tmp_path: Path, reader: str) -> None:
    file, output = write_pairs(tmp_path / "a.parquet", [("kettle", "electric kettle")]), tmp_path / "out"
    flags = ["--input", str(file), "--output", str(output), "--servers", "1", "--run-date", "2026-11-01"]
    log_format = "text" if reader == "gone" else "json"
    streams = "<&- >&- 2>&-" if reader == "closed" else ""
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", *MODULE, *flags, "--log-format", log_format]
    with StuckPipe() as pipe:
        if reader == "gone":
            pipe.close_reader()
        run = subprocess.run(command, cwd=ROOT, stdout=pipe.writable, stderr=pipe.writable, check=False)
    assert run.returncode == 0
    assert pq.ParquetDataset(output / "labels").read().num_rows == 1


def _which(tool: str) -> Path:
    found = shutil.which(tool)
    assert found is not None
    return Path(found)


@pytest.mark.parametrize("failure", ["SIGKILL to a server", "SIGKILL to Spark", "SIGINT", "standard input closes"])
def test_a_failure_while_scoring_publishes_nothing(
    start: Callable[..., Job], tmp_path: Path, pairs_file: Path, failure: str
) -> None:
    output = tmp_path / "out"
    flags = ["--exit-on-stdin-close"] if failure == "standard input closes" else []
    job = start(["--input", str(pairs_file), "--output", str(output), "--servers", "1", "--rows-per-rpc", "16", *flags])
    job.wait_for("scoring")
    (server,) = job.servers()
    until(lambda: list(output.glob("scores/**/_temporary/**/part-*")))
    if failure == "SIGKILL to a server":
        server.kill()
        expected = (1, f"qtr label: embedded server {server.pid} was killed by signal 9 (SIGKILL)\n")
    elif failure == "SIGKILL to Spark":
        next(child for child in job.process.children() if child.name() == "java").kill()
        expected = (
            1,
            "qtr label: Spark's process ended during the run: it was killed, or had too little memory\n",
        )
    else:
        # finish() is what closes standard input.
        number = signal.SIGTERM if flags else signal.Signals[failure]
        if not flags:
            job.process.send_signal(number)
        expected = (128 + number, "qtr label: the run was interrupted; nothing was published\n")
    status, out, err = job.finish()
    assert (status, err) == expected
    last = json.loads(out.splitlines()[-1])
    assert (last["msg"], last["exit_code"]) == ("run failed", status)
    # Scores that tasks had committed are kept; nothing else is.
    left = {path.name for path in output.iterdir()} if output.exists() else set()
    assert left <= {"scores"}
    assert not list(output.rglob("_temporary"))
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    missing = tmp_path / "no bundle"
    with LocalServers(1, missing) as servers, pytest.raises(SetupError) as caught:
        servers.target()
    assert re.match(r"embedded server [1-9]\d* did not start: ", str(caught.value))
    assert str(missing) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_too_slow_to_start_is_given_up() -> None:
    with (
        LocalServers(1, start_timeout_seconds=0.001) as servers,
        pytest.raises(ServerLostError, match=r"was not serving within 0.001 s"),
    ):
        servers.target()


ORPHAN = """
import sys
import psutil
from spark_jobs.lifecycle.local_servers import LocalServers
servers = LocalServers(1)
servers.target()
print(*(child.pid for child in psutil.Process().children()), flush=True)
sys.stdin.read()
"""


def test_servers_end_with_their_run_even_if_it_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert psutil.wait_procs([server])[0] == [server]


def test_embedded_servers_share_a_target_and_stop_on_request() -> None:
    before = set(psutil.Process().children())
    with LocalServers(2) as servers:
        target = servers.target()
        assert target.startswith("ipv4:127.0.0.1:")
        assert target.count(",") == 1
        assert servers.failure() is None
        started = set(psutil.Process().children()) - before
    assert len(started) == 2
    assert servers.failure() is None
    assert not any(server.is_running() for server in started)
