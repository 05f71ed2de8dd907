"""A new bundle takes over without losing a call; a bad one changes nothing."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from grpc_client import ClientConfig, RelevanceClient
from grpc_server.core.registry import smoke_test
from relevance_model import Scorer, default_bundle_path, write_bundle
from relevance_model.bundle import Bundle
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]


def request(version: str = "") -> pb.ScoreRequest:
    model = pb.ModelVersion(version=version) if version else None
    return pb.ScoreRequest(query="red shoes", titles=["Red canvas shoes", "Sofa"], model=model)


def student_as(folder: Path, version: str, intercept: float = 0.0) -> Path:
    """Copy the student under another version, with another calibration so that its scores differ."""
    shutil.copytree(default_bundle_path(), folder)
    manifest = Bundle.load(folder).manifest
    calibration = manifest.calibration.model_copy(update={"intercept": intercept})
    write_bundle(folder, manifest.model_copy(update={"version": version, "calibration": calibration}))
    return folder


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Return a link to version 1 that can be moved, as a mounted volume moves it."""
    path = tmp_path / "current"
    path.symlink_to(student_as(tmp_path / "v1", "1"))
    return path


def move(link: Path, target: Path) -> None:
    other = link.with_name("next")
    other.symlink_to(target)
    other.rename(link)


def stub_of(server: ServerProcess) -> relevance_pb2_grpc.RelevanceServiceStub:
    return relevance_pb2_grpc.RelevanceServiceStub(server.channel())


def test_a_swap_under_load_loses_no_call(start_server: StartServer, link: Path) -> None:
    server = start_server("--bundle", str(link))
    stub = stub_of(server)
    seen: list[tuple[str, float]] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            response = stub.Score(request())
            seen.append((response.model.version, response.results[0].score))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    move(link, student_as(link.with_name("v2"), "2", intercept=1.0))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for("bundle swapped")["version"] == "2"
    after = stub.Score(request())
    stop.set()
    for caller in callers:
        caller.join()
    assert after.model.version == "2"
    scores = {version: {score for each, score in seen if each == version} for version in ("1", "2")}
    assert {version for version, _ in seen} <= {"1", "2"}
    assert scores["1"]
    # Each version gives one score, and they differ: no answer names a version that did not give it.
    assert all(max(found) - min(found) <= 1e-5 for found in scores.values() if found)
    assert after.results[0].score > max(scores["1"])


def test_the_version_before_can_still_be_asked_for(start_server: StartServer, link: Path) -> None:
    server = start_server("--bundle", str(link))
    stub = stub_of(server)
    for version in ("2", "3"):
        move(link, student_as(link.with_name(f"v{version}"), version))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("bundle swapped")

    def version_for(version: str) -> str:
        return stub.Score(request(version)).model.version

    assert [version_for(""), version_for("3"), version_for("2")] == ["3", "3", "2"]
    with pytest.raises(grpc.RpcError) as error:
        version_for("1")
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_swaps_with_full_caches_take_no_more_memory_than_documented(start_server: StartServer, link: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "security.md").read_text()
    documented = re.search(r"version before the last\s+swap it is (\d+) MiB, and up to (\d+) MiB", page)
    assert documented is not None
    server = start_server("--bundle", str(link))

    def fill_cache(version: int) -> None:
        with RelevanceClient(ClientConfig(server.address)) as client:
            for first in range(0, 8192, 1024):
                rows = range(first, first + 1024)
                queries, titles = ([f"{word} {version} {row}" for row in rows] for word in ("cable", "lamp"))
                client.score_batch(queries, titles)

    fill_cache(1)
    for version in range(2, 8):
        move(link, student_as(link.with_name(f"v{version}"), str(version)))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("bundle swapped")
        fill_cache(version)
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    mib = {name: int(kib) >> 10 for name, kib in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE)}
    assert mib["VmRSS"] <= int(documented[1])
    assert mib["VmHWM"] <= int(documented[2])


def altered(folder: Path) -> None:
    (folder / "pair.onnx").write_bytes(b"not what the manifest says")


def same_version_other_bytes(folder: Path) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(manifest | {"version": "1", "threshold": 0.9}))


def never_a_number(folder: Path) -> None:
    from tests.support.small_bundles import nan_pair_graph

    nan_pair_graph(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (altered, "pair.onnx has SHA-256"),
        (same_version_other_bytes, "a changed model needs a new version"),
        (never_a_number, "smoke pair 0 scores nan"),
    ],
)
def test_a_bad_bundle_is_refused_and_the_old_one_goes_on(
    start_server: StartServer, link: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    server = start_server("--bundle", str(link))
    bad = student_as(link.with_name("bad"), "2")
    spoil(bad)
    move(link, bad)
    server.process.send_signal(signal.SIGHUP)
    assert reason in server.wait_for("bundle refused, the old one goes on serving")["reason"]
    assert stub_of(server).Score(request()).model.version == "1"


def test_a_watched_folder_is_swapped_by_itself(start_server: StartServer, link: Path) -> None:
    server = start_server("--bundle", str(link), "--watch-bundle-seconds", "0.05")
    move(link, student_as(link.with_name("v2"), "2"))
    assert server.wait_for("bundle swapped")["before"] == "1"


def test_an_unchanged_bundle_is_left_alone(start_server: StartServer, link: Path) -> None:
    server = start_server("--bundle", str(link))
    server.process.send_signal(signal.SIGHUP)
    assert server.wait_for("bundle unchanged")["version"] == "1"


@pytest.mark.parametrize("limit", [1, 10, 50])
def test_a_low_limit_of_text_bytes_does_not_fail_the_smoke_test(student: Bundle, limit: int) -> None:
    smoke_test(Scorer(student, max_text_bytes=limit))
