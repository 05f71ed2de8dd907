"""What a shell, a working folder or a locale leaves behind changes no run; what stands in the way is told at once."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from qtr_runtime.own_process import PACKAGES, module_environment
from spark_jobs.errors import JobError, SetupError
from spark_jobs.lifecycle.environment import require_descriptors
from spark_jobs.preflight import check_places
from spark_jobs.settings import LabelSettings
from tests.support.job_process import Job

NULL_OBSERVER = "http://127.0.0.1:9"
PROXIES = {f"{name}_proxy": NULL_OBSERVER for name in ("http", "https", "all", "grpc")}
SHADOWS = ("queue", "grpc", "numpy", "random", "logging", "pyarrow", "types")


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A working folder in which modules of Python and of ours seem to lie, and a night whose names are not ASCII."""
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
    flags = ["--input", "pärs.csv", "--output", "öut", "--servers", "1"]
    leftovers = {
        "PYSPARK_PYTHON": "/nowhere/python3.7",
        "PYSPARK_DRIVER_PYTHON": "jupyter",
        "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
        "SPARK_HOME": "/nowhere/spark",
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "192.0.2.7",
        "SPARK_REMOTE": "sc://nowhere",
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


@pytest.mark.parametrize("words", [["-m", "qtr", "label"], ["-m", "spark_jobs.label_pairs"]])
def test_a_module_in_the_working_folder_is_not_taken_for_another(littered: Path, words: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, *words, "--help"], cwd=littered, capture_output=True, text=True, check=False
    )
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


def refusal(**settings: object) -> str:
    """Check the places of a run that must be refused, and give the sentence."""
    with pytest.raises(JobError) as caught:
        check_places(LabelSettings(**settings))  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Path]:
    """A folder with a pipe and a socket beside good files."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("query,title\na,b\n")
    os.mkfifo(folder / "b.csv")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s.csv"))
        yield folder


def test_what_is_no_file_is_no_input(special: Path) -> None:
    assert "input /dev/zero is a device; " in refusal(input=["/dev/zero"], output="out")
    assert "/b.csv is a pipe; " in refusal(input=[str(special)], output="out")
    assert "/b.csv is a pipe; " in refusal(input=[str(special / "b.csv")], output="out")
    assert "/s.csv is a socket; " in refusal(input=[f"file://{special.parent}/s.csv"], output="out")
    reading, writing = os.pipe()
    try:
        assert f"/dev/fd/{reading} is a pipe; " in refusal(input=[f"/dev/fd/{reading}"], output="out")
    finally:
        os.close(reading)
        os.close(writing)
    # What readers pass over may lie there.
    (special / "b.csv").rename(special / "_b.csv")
    check_places(LabelSettings(input=[str(special)], output=str(special.parent / "out")))


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("in", {"output": "in"}),
        ("in", {"output": "in/out"}),
        ("in/", {"output": "./in/../in/out/"}),
        ("in/*", {"output": "in"}),
        ("in/{labels,more}", {"output": "in"}),
        ("link", {"output": "in/out"}),
        ("in", {"output": "out", "labels": "in/labels"}),
        ("in", {"output": "out", "store": "file:///ROOT/in"}),
        ("s3a://shop/night", {"output": "s3a://shop/night/"}),
        ("out/labels", {"output": "out"}),
        ("out/labels/run_date=2026-10-31/*.parquet", {"output": "out"}),
    ],
)
def test_a_run_does_not_read_what_it_writes(
    source: str, flags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    places = {name: place.replace("/ROOT", str(tmp_path)) for name, place in flags.items()}
    assert " lies within " in refusal(input=[source], **places)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("night/pairs.parquet", "night"),
        ("night/*.parquet", "night"),
        ("night", "night_out"),
        ("night", "night/_out"),
        ("s3a://shop/night", "s3a://other/night"),
        ("s3a://shop/night", "hdfs://shop/night"),
        ("shop.pairs", "shop"),
    ],
)
def test_an_output_beside_its_input_is_fine(
    source: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_places(LabelSettings(input=[source], output=output))


def test_an_output_has_a_form(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, sentence in {
        " ": "expected the name of a folder",
        "out:1": "write ./out:1",
        "http://shop/out": "nothing can be written to http addresses",
        "file://out": "three slashes",
        "\udcfcber": "is no text: it is not valid UTF-8, or the locale",
        str(tmp_path / "file" / "out"): f"{tmp_path / 'file'} is a file, expected a folder",
    }.items():
        assert sentence in refusal(input=["in"], output=output)


def test_too_few_descriptors_are_told_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "qtr", "label", "--input", "x", "--output", str(tmp_path)]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "qtr label: this process may open 64 files (ulimit -n), a run needs at least 256\n"


def test_a_soft_limit_is_raised() -> None:
    code = (
        "import resource; from spark_jobs.lifecycle.environment import require_descriptors; require_descriptors(); "
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); assert soft == hard"
    )
    command = ["bash", "-c", 'ulimit -S -n 64; exec "$@"', "bash", sys.executable, "-c", code]
    assert subprocess.run(command, check=False).returncode == 0
    with pytest.raises(SetupError, match="may open"):
        require_descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1)
