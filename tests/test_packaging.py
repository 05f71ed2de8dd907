"""The wheel holds what its programs need, and works away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 8 << 20
PACKAGES = (
    "distillation",
    "evaluation",
    "grpc_client",
    "grpc_server",
    "qtr",
    "qtr_runtime",
    "relevance_model",
    "relevance_stubs",
    "spark_jobs",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy: a build leaves a folder behind that would slip stale files into the next one.
    source = folder / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), "."],
        cwd=source,
        check=True,
    )
    [built] = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_the_student_and_is_small(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    assert set(tracked) - names == set()
    assert {
        f"relevance_model/bundles/student/{name}" for name in ("bundle.json", "pair.onnx", "tokenizer.json")
    } <= names
    assert wheel.stat().st_size <= MOST_BYTES


def test_the_installed_wheel_scores_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
    )
    code = (
        "import relevance_model, qtr.__main__, sys; print(relevance_model.__file__, file=sys.stderr);"
        "sys.exit(qtr.__main__.main(['score', '--query', 'red shoes', '--title', 'Red shoes', '--json']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert str(target) in result.stderr
    assert json.loads(result.stdout)["results"][0]["score"] > 0
