"""Environment variables, the working folder and the locale change no run; what prevents one is reported at once."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from qtr_runtime.own_process import PACKAGES, module_environment
from spark_jobs.errors import SetupError
from spark_jobs.lifecycle.environment import keep_own_permissions, prepare_environment, require_descriptors
from tests.support.job_process import Job

NULL_OBSERVER = "http://127.0.0.1:9"
PROXIES = {f"{name}_proxy": NULL_OBSERVER for name in ("http", "https", "all", "grpc")}
SHADOWS = ("queue", "grpc", "numpy", "random", "logging", "pyarrow", "types")


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A working folder with modules named as Python's and ours, and an input whose names are not ASCII."""
    folder = tmp_path / "schlüssel"
    folder.mkdir()
    for name in SHADOWS:
        (folder / f"{name}.py").write_text("raise SystemError('not the module that was meant')\n")
    (folder / "pärs.csv").write_text("id,query,title\n0,kettle,electric kettle\n1,für küche,kessel größe 2\n")
    return folder


def test_a_run_takes_nothing_from_the_shell_that_is_not_meant_for_it(
    start: Callable[..., Job], littered: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.master yarn\n")
    scratch = tmp_path / 'a "b" %20ü'
    scratch.mkdir()
    flags = ["--input", "pärs.csv", "--output", "öut", "--servers", "1"]
    leftovers = {
        "PYSPARK_PYTHON": "/nowhere/python3.7",
        "PYSPARK_DRIVER_PYTHON": "jupyter",
        "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
        "SPARK_HOME": "/nowhere/spark",
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "192.0.2.7",
        "SPARK_REMOTE": "sc://nowhere",
        # Of a notebook that spark-submit has started, for example.
        "PYSPARK_GATEWAY_PORT": "9",
        "PYSPARK_GATEWAY_SECRET": "secret",
        "TMPDIR": str(scratch),
        "PYTHONSTARTUP": str(littered / "queue.py"),
        "LC_ALL": "C",
    }
    command = ["bash", "-c", 'ulimit -S -n 64; cd "$0"; exec "$@"', str(littered)]
    command += [sys.executable, "-P", "-m", "spark_jobs.label_pairs"]
    status, out, err = start(flags, command, **PROXIES, **leftovers).finish()
    assert (status, err) == (0, ""), out
    rows = pq.ParquetDataset(littered / "öut" / "labels" / "run_date=2026-11-01").read().to_pylist()
    assert sorted((row["id"], row["title"], row["status"]) for row in rows) == [
        ("0", "electric kettle", "OK"),
        ("1", "kessel größe 2", "OK"),
    ]


# Without -P, `python -m` reads such a module before any code of ours runs.
@pytest.mark.parametrize(
    "words",
    [[sys.executable, "-P", "-m", "spark_jobs.label_pairs"], [Path(sys.executable).with_name("qtr"), "label"]],
    ids=["module", "command"],
)
def test_a_module_in_the_working_folder_is_not_taken_for_another(littered: Path, words: list[Any]) -> None:
    result = subprocess.run([*words, "--help"], cwd=littered, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_module_that_pythonpath_puts_in_the_place_of_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemError('not the module that was meant')\n")
    result = subprocess.run(
        [Path(sys.executable).with_name("qtr"), "score", "--query", "a", "--title", "b"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert f"PYTHONPATH puts {tmp_path / 'numpy.py'} in the place" in result.stderr
    assert "Traceback" not in result.stderr


def test_processes_of_ours_are_given_no_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty entry means the working folder.
    monkeypatch.setenv("PYTHONPATH", f":/more:{os.pathsep}")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("QTR_BUNDLE", "of the run")
    environment = module_environment()
    assert environment["PYTHONPATH"] == f"{PACKAGES}:/more"
    assert not {"PYTHONWARNINGS", "QTR_BUNDLE"} & set(environment)


def test_too_few_descriptors_are_told_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "qtr", "label", "--input", "x", "--output", str(tmp_path)]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "qtr label: this process may open 64 files (ulimit -n), a run needs at least 1024\n"


def test_a_folder_for_temporary_files_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/file/a,{tmp_path}/file")
    with pytest.raises(SetupError, match=f"no folder for temporary files in {tmp_path}/file/a,{tmp_path}/file; set"):
        prepare_environment()


def test_a_umask_cannot_take_our_own_permission() -> None:
    before = os.umask(0o727)
    try:
        keep_own_permissions()
    finally:
        left = os.umask(before)
    assert left == 0o027


def test_a_soft_limit_is_raised() -> None:
    code = (
        "import resource; from spark_jobs.lifecycle.environment import require_descriptors; require_descriptors(); "
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); assert soft == hard"
    )
    command = ["bash", "-c", 'ulimit -S -n 64; exec "$@"', "bash", sys.executable, "-c", code]
    assert subprocess.run(command, check=False).returncode == 0
    with pytest.raises(SetupError, match="may open"):
        require_descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1)
