"""One run at a time, also when runs die, freeze or begin at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_jobs.errors import DateTakenError
from spark_jobs.storage.filesystem import HadoopFileSystem
from spark_jobs.storage.paths import OutsideError
from spark_jobs.storage.process_identity import process_identity
from spark_jobs.storage.run_lock import RunLock
from tests.support.job_process import until


@pytest.fixture
def storage(spark: SparkSession) -> HadoopFileSystem:
    return HadoopFileSystem(spark)


def lock(storage: HadoopFileSystem, folder: Path, run_id: str, **timing: float) -> RunLock:
    return RunLock(storage, str(folder / "locks" / "day"), run_id, "the day", **timing)


@contextmanager
def heartbeats(lease: Path) -> Iterator[None]:
    """Send heartbeats for a run elsewhere."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.05):
            lease.with_suffix(".alive").touch()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_second_run_names_the_holder_and_acquires_the_lock_afterwards(
    storage: HadoopFileSystem, tmp_path: Path
) -> None:
    with lock(storage, tmp_path, "first") as first:
        first.check()
        assert first.failure() is None
        with pytest.raises(DateTakenError) as caught, lock(storage, tmp_path, "second"):
            pass
        for part in ("the day is being labelled by another run: first", f"process {os.getpid()}", "s ago"):
            assert part in str(caught.value)
        assert caught.value.exit_code == 4
    with lock(storage, tmp_path, "second") as second:
        assert second.dead_runs == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_process_is_gone_is_dead_at_once(storage: HadoopFileSystem, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = process_identity(process.pid)
        assert name is not None
        lease = tmp_path / "locks" / "day" / "dead.json"
        lease.parent.mkdir(parents=True)
        lease.write_text(json.dumps({"pid": process.pid, "process": name}))
        with pytest.raises(DateTakenError, match="dead"), lock(storage, tmp_path, "second"):
            pass
        process.communicate(b"\n")
    with lock(storage, tmp_path, "second") as second:
        assert second.dead_runs == ["dead"]
        assert not lease.exists()


HERE = process_identity(os.getpid()) or ""
"""This process's name: boot, host, namespaces of numbers and of times, number, start."""


def elsewhere(word: int, other: str) -> str:
    """Name a process that is not there, in a system that differs from this one in a word."""
    words = HERE.split()
    words[word] = other
    return " ".join([*words[:-2], str(2**22), words[-1]])


@pytest.mark.parametrize(
    "process",
    [
        None,
        7,
        "",
        "x",
        f"{os.getpid()} of another machine",
        elsewhere(0, "another-boot"),
        elsewhere(1, "another-host"),
        elsewhere(2, "pid:[1]"),
        elsewhere(3, "time:[1]"),
        HERE.replace(f" {os.getpid()} ", " -1 "),
        HERE.replace(f" {os.getpid()} ", f" {10**30} "),
    ],
    # Not by the values: they hold this process's number, and tests run in several processes have one name each.
    ids=range(11),
)
def test_a_run_elsewhere_is_dead_only_after_its_lease(
    storage: HadoopFileSystem, tmp_path: Path, process: str | None
) -> None:
    lease = tmp_path / "locks" / "day" / "far.json"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps({"pid": 1, "process": process}))
    with heartbeats(lease), pytest.raises(DateTakenError, match="far"), lock(storage, tmp_path, "second"):
        pass
    # Silent, it is waited for: the one that follows a killed pod does not give up.
    with lock(storage, tmp_path, "second", heartbeat_seconds=0.1, lease_seconds=0.5) as second:
        assert second.dead_runs == ["far"]


@pytest.fixture
def hidepid(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Show of /proc what its option hidepid=2 leaves of it: this process, and no other user's."""
    proc = tmp_path_factory.mktemp("proc")
    for name in (str(os.getpid()), "sys"):
        (proc / name).symlink_to(f"/proc/{name}")
    (proc / "self").symlink_to(str(os.getpid()))
    monkeypatch.setattr("spark_jobs.storage.process_identity._PROC", proc)


def test_a_process_that_is_hidden_may_live_until_the_kernel_denies_it(
    storage: HadoopFileSystem, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = process_identity(process.pid)
        request.getfixturevalue("hidepid")
        assert process_identity(process.pid) is None
        lease = tmp_path / "locks" / "day" / "hidden.json"
        lease.parent.mkdir(parents=True)
        lease.write_text(json.dumps({"process": name}))
        with heartbeats(lease), pytest.raises(DateTakenError, match="hidden"), lock(storage, tmp_path, "second"):
            pass
        assert lease.exists()
        process.communicate(b"\n")
    with lock(storage, tmp_path, "second") as second:
        assert second.dead_runs == ["hidden"]


def test_a_reused_process_number_is_a_dead_run(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "before.json"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps({"process": f"{HERE}0"}))
    with lock(storage, tmp_path, "second") as second:
        assert second.dead_runs == ["before"]


def test_what_a_lease_says_is_never_a_path(storage: HadoopFileSystem, tmp_path: Path) -> None:
    folder = tmp_path / "locks" / "day"
    folder.mkdir(parents=True)
    noted: list[Any] = ["../../../victim", "..", ".", "", "/victim", "a/b", "a\x00b", "x" * 65, 5, None, ["old"], "old"]
    for name, dead in {"first": noted, "second": "victim", "third": {"victim": 1}, "..odd name": ["victim"]}.items():
        (folder / f"{name}.json").write_text(json.dumps({"dead": dead, "user": "a\x1b[2Jb", "process": None}))
        os.utime(folder / f"{name}.json", (0, 0))
    (folder / "deep.json").write_text("[" * 100_000)
    os.utime(folder / "deep.json", (0, 0))
    with lock(storage, tmp_path, "last") as last:
        assert last.dead_runs == ["deep", "old", "first", "second", "third"]
    assert [path.name for path in folder.iterdir()] == ["..odd name.json"]


def test_a_lease_ends_although_the_clock_was_set_back(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "future.json"
    lease.parent.mkdir(parents=True)
    lease.write_text("{}")
    os.utime(lease, (2**32, 2**32))
    with lock(storage, tmp_path, "second", heartbeat_seconds=0.1, lease_seconds=0.5) as second:
        assert second.dead_runs == ["future"]


def test_a_lease_that_is_no_file_is_a_lease_that_says_nothing(storage: HadoopFileSystem, tmp_path: Path) -> None:
    folder = tmp_path / "locks" / "day"
    (folder / "folder.json" / "sub").mkdir(parents=True)
    os.mkfifo(folder / "pipe.json")
    (folder / "device.json").symlink_to("/dev/zero")
    for name in ("folder", "pipe"):
        os.utime(folder / f"{name}.json", (0, 0))
    with lock(storage, tmp_path, "last", heartbeat_seconds=0.1, lease_seconds=0.5) as last:
        assert sorted(last.dead_runs) == ["device", "folder", "pipe"]
    assert Path("/dev/zero").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_folder_of_ours_is_refused(storage: HadoopFileSystem, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "package.json").write_text("{}")
    os.utime(victim / "package.json", (0, 0))
    (tmp_path / "out" / "locks").mkdir(parents=True)
    (tmp_path / "out" / "locks" / "day").symlink_to(victim)
    with pytest.raises(OutsideError, match="a symbolic link leads to"), lock(storage, tmp_path / "out", "second"):
        pass
    assert [path.name for path in victim.iterdir()] == ["package.json"]


def test_what_a_lease_says_of_its_run_cannot_move_the_cursor(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "far.json"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps({"user": "a\x1b[2J\nb", "host": "h" * 5000}))
    with heartbeats(lease), pytest.raises(DateTakenError) as caught, lock(storage, tmp_path, "second"):
        pass
    assert f"(a?[2J?b@{'h' * 64}, process None" in str(caught.value)


def test_a_run_elsewhere_that_ends_meanwhile_releases_the_lock(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "far.json"
    lease.parent.mkdir(parents=True)
    lease.write_text("{}")
    second = lock(storage, tmp_path, "second", heartbeat_seconds=0.1)

    def end_when_waited_for() -> None:
        own = lease.with_name("second.json")
        until(own.exists)
        until(lambda: not own.exists())
        lease.unlink()

    far = threading.Thread(target=end_when_waited_for)
    far.start()
    with second:
        assert second.dead_runs == []
    far.join()


def test_the_wait_for_a_run_elsewhere_can_be_cancelled(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "far.json"
    lease.parent.mkdir(parents=True)
    lease.write_text("{}")
    second = lock(storage, tmp_path, "second")
    second.cancel()
    with pytest.raises(DateTakenError, match="far"), second:
        pass
    assert [path.name for path in lease.parent.iterdir() if not path.name.startswith(".")] == ["far.json"]


def test_a_run_after_two_dead_runs_records_both(storage: HadoopFileSystem, tmp_path: Path) -> None:
    folder = tmp_path / "locks" / "day"
    folder.mkdir(parents=True)

    def die(run_id: str, **owner: list[str]) -> None:
        (folder / f"{run_id}.json").write_text(json.dumps({"pid": 1, **owner}))
        os.utime(folder / f"{run_id}.json", (0, 0))

    die("first")
    with lock(storage, tmp_path, "second") as second:
        assert second.dead_runs == ["first"]
        noted = json.loads((folder / "second.json").read_text())
        assert noted["dead"] == ["first"], "should it die before it has cleaned up"
    folder.mkdir(parents=True)
    die("second", dead=noted["dead"])
    with lock(storage, tmp_path, "third") as third:
        assert third.dead_runs == ["first", "second"]


def test_a_run_that_yields_leaves_the_leases_of_the_dead(storage: HadoopFileSystem, tmp_path: Path) -> None:
    with lock(storage, tmp_path, "alive"):
        dead = tmp_path / "locks" / "day" / "adead.json"
        dead.write_text(json.dumps({"pid": 1}))
        os.utime(dead, (0, 0))
        with pytest.raises(DateTakenError, match="alive"), lock(storage, tmp_path, "second"):
            pass
        assert dead.exists()


def test_a_lease_that_is_just_being_written_counts(storage: HadoopFileSystem, tmp_path: Path) -> None:
    lease = tmp_path / "locks" / "day" / "young.json"
    lease.parent.mkdir(parents=True)
    lease.touch()
    with heartbeats(lease), pytest.raises(DateTakenError, match="young"), lock(storage, tmp_path, "second"):
        pass


def test_a_run_sends_heartbeats_and_notices_the_loss_of_its_lease(storage: HadoopFileSystem, tmp_path: Path) -> None:
    with lock(storage, tmp_path, "first", heartbeat_seconds=0.01) as first:
        alive = tmp_path / "locks" / "day" / "first.alive"
        before = alive.stat().st_mtime_ns
        while alive.stat().st_mtime_ns == before:
            pass
        (tmp_path / "locks" / "day" / "first.json").unlink()
        with pytest.raises(DateTakenError, match="taken over"):
            first.check()
        while first.failure() is None:
            pass


def test_of_many_runs_that_begin_at_once_never_two_hold_the_lock(storage: HadoopFileSystem, tmp_path: Path) -> None:
    inside, most, taken = 0, 0, 0
    counting, start = threading.Lock(), threading.Barrier(6)

    def begin(run_id: str) -> None:
        nonlocal inside, most, taken
        for round_ in range(3):
            start.wait()
            try:
                with lock(storage, tmp_path, f"{run_id}-{round_}"):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                        taken += 1
                    storage.names(str(tmp_path))
                    with counting:
                        inside -= 1
            except DateTakenError:
                pass

    threads = [threading.Thread(target=begin, args=(f"run{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken >= 1
