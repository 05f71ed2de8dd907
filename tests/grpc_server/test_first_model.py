"""The bundle that the first pods put on an empty volume: whole, or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from grpc_server.first_model import main
from relevance_model import Bundle


def start(models: Path, *limited: str) -> subprocess.Popen[str]:
    command = [*limited, sys.executable, "-m", "grpc_server.first_model", str(models)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def names(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir())


def test_first_pods_that_start_together_put_one_whole_bundle_there(tmp_path: Path, student: Bundle) -> None:
    pods = [start(tmp_path) for _ in range(4)]
    assert [(pod.communicate()[1], pod.returncode) for pod in pods] == [("", 0)] * 4
    assert Bundle.load(tmp_path / "current").sha256 == student.sha256
    assert names(tmp_path) == ["current", "first"]


def test_a_model_that_was_linked_later_stays(tmp_path: Path) -> None:
    (tmp_path / "2.0.0").mkdir()
    (tmp_path / "current").symlink_to("2.0.0")
    assert main([str(tmp_path)]) == 0
    assert names(tmp_path) == ["2.0.0", "current"]


def test_a_failed_copy_is_not_linked_and_the_next_start_copies_again(tmp_path: Path, student: Bundle) -> None:
    largest = max(path.stat().st_size for path in student.path.iterdir())
    # A full volume ends a copy in the middle of a file in the same way.
    full = start(tmp_path, "bash", "-c", f'ulimit -f {largest // 2 // 1024} && exec "$@"', "bash")
    error = full.communicate()[1]
    assert full.returncode == 2
    assert error.startswith(f"python -m grpc_server.first_model: the bundle cannot be put into {tmp_path}: ")
    assert "File too large" in error
    assert error.count("\n") == 1
    assert names(tmp_path) == []
    assert main([str(tmp_path)]) == 0
    assert Bundle.load(tmp_path / "current").sha256 == student.sha256


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_incomplete_copy_that_is_linked_is_replaced(tmp_path: Path, student: Bundle, damage: str) -> None:
    assert main([str(tmp_path)]) == 0
    manifest = tmp_path / "current" / "bundle.json"
    graph = tmp_path / "current" / student.manifest.graphs.pair
    if damage == "missing":
        manifest.unlink()
    else:
        graph.write_bytes(graph.read_bytes()[:1000])
    assert main([str(tmp_path)]) == 0
    assert Bundle.load(tmp_path / "current").sha256 == student.sha256
    assert names(tmp_path) == ["current", "first"]


def test_the_draft_of_a_killed_pod_is_removed_and_that_of_a_running_one_is_not(tmp_path: Path) -> None:
    killed, running = tmp_path / ".draft-killed", tmp_path / ".draft-running"
    for draft in (killed, running):
        draft.mkdir()
    os.utime(killed, (0, 0))
    assert main([str(tmp_path)]) == 0
    assert names(tmp_path) == [".draft-running", "current", "first"]
