"""The version stands in one way everywhere, and a release changes it everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from tools import release

ROOT = Path(__file__).resolve().parent.parent
# Pages about measured or trained versions, which stay what they were.
HISTORY = {"docs/benchmarks.md", "docs/model.md"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the files that state the version."""
    for name in release.PLACES:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    return tmp_path


def test_every_place_states_the_version_of_pyproject() -> None:
    places = release.places(ROOT)
    assert {(place.file.relative_to(ROOT), place.version) for place in places} == {
        (place.file.relative_to(ROOT), release.present_version(ROOT)) for place in places
    }
    files = {str(place.file.relative_to(ROOT)) for place in places}
    assert files >= {"pyproject.toml", "docs/operating.md", "docker/Dockerfile.server", "docker/compose.yaml"}


def test_no_other_place_states_it() -> None:
    """Every line of documentation and manifests that has the version is one that a release changes."""
    version = release.present_version(ROOT)
    command = ["git", "grep", "-nF", version, "--", "README.md", "docs", "docker", "k8s"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    stated = {
        f"{place.file.relative_to(ROOT)}:{place.file.read_text(encoding='utf-8').count(chr(10), 0, place.start) + 1}"
        for place in release.places(ROOT)
    }
    found = {":".join(line.split(":", 2)[:2]) for line in lines if line.split(":")[0] not in HISTORY}
    assert found - stated == set()


def test_a_release_changes_every_place_and_nothing_else(copy: Path) -> None:
    old = release.present_version(copy)
    before = {
        path: path.read_text()
        for path in copy.rglob("*")
        if path.is_file() and path.suffix != ".svg" and "images" not in path.parts
    }
    release.set_version(copy, "9.10.0rc1")
    assert release.present_version(copy) == "9.10.0rc1"
    assert {place.version for place in release.places(copy)} == {"9.10.0rc1"}
    assert len(release.places(copy)) == len(release.places(ROOT))
    release.set_version(copy, old)
    assert {path: path.read_text() for path in before} == before


def test_the_changelog_is_dated(copy: Path) -> None:
    changelog = copy / "CHANGELOG.md"
    old = changelog.read_text()
    release.date_changelog(changelog, "9.10.0", date(2026, 11, 27))
    text = changelog.read_text()
    assert re.search(r"^## \[Unreleased\]\n\n## \[9\.10\.0\] - 2026-11-27\n", text, re.MULTILINE)
    assert text.replace("\n## [9.10.0] - 2026-11-27\n", "", 1) == old
    changelog.write_text("# Changelog\n")
    with pytest.raises(SystemExit, match="no section"):
        release.date_changelog(changelog, "9.10.0", date(2026, 11, 27))


def test_a_lock_names_its_packages() -> None:
    names = release.locked(ROOT / "requirements" / "server.lock")
    assert {"grpcio", "onnxruntime"} <= set(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


@pytest.mark.parametrize("lock", ["docs", "release"])
def test_the_tools_are_pinned_by_hash_beside_what_the_tests_use(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    tested = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE))
    assert text.count("--hash=sha256:") >= len(pins)
    shared = pins.keys() & tested.keys() - {"numpy"}  # numpy has a version for each Python
    assert {name: pins[name] for name in shared} == {name: tested[name] for name in shared}
