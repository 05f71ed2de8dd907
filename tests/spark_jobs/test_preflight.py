"""Paths of input and output that are refused before anything starts, and those that are not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.errors import JobError
from spark_jobs.preflight import check_places
from spark_jobs.settings import LabelSettings


def refusal(**settings: object) -> str:
    """Check paths that must be refused; return the sentence."""
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
        ("in/[^p]*", {"output": "in"}),
        ("link", {"output": "in/out"}),
        ("in", {"output": "out", "labels": "in/labels"}),
        ("in", {"output": "out", "store": "file:///ROOT/in"}),
        ("s3a://shop/night", {"output": "s3a://shop/night/"}),
        # Hadoop takes addresses literally, unlike browsers.
        ("file:///ROOT/a%20b", {"output": "a%20b"}),
        ("out/labels", {"output": "out"}),
        ("out/labels/run_date=2026-10-31/*.parquet", {"output": "out"}),
    ],
)
def test_a_run_does_not_read_what_it_writes(
    source: str, flags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "a%20b").mkdir()
    (tmp_path / "link").symlink_to("in")
    places = {name: place.replace("/ROOT", str(tmp_path)) for name, place in flags.items()}
    assert " lies within " in refusal(input=[source.replace("/ROOT", str(tmp_path))], **places)


@pytest.mark.parametrize(
    "flags",
    [{"labels": "out/scores"}, {"store": "./out/labels/"}, {"labels": "both/x", "store": "both/x"}, {"labels": "out/"}],
)
def test_labels_scores_and_reports_lie_apart(
    flags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "would lie within" in refusal(input=["in"], output="out", **flags)


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
        ("s3a://shop/night?1", "s3a://shop/night?2"),
        ("night#1", "night#2"),
    ],
)
def test_an_output_beside_its_input_is_fine(
    source: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_places(LabelSettings(input=[source], output=output))


@pytest.mark.parametrize(("source", "other"), [("in[1]", "in1"), ("{env}", "env"), ("in*", "inner"), ("a?", "ab")])
def test_a_path_that_exists_is_literal(
    source: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(other).mkdir()
    assert " lies within " in refusal(input=[source], output=other)
    Path(source).mkdir()
    check_places(LabelSettings(input=[source], output=other))
    assert " lies within " in refusal(input=[source], output=f"{source}/out")


def test_a_path_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        LabelSettings.parse(["--input", "in", "--output", "\udcfcber"])
    assert caught.value.code == 2
    assert "--output: is not valid UTF-8, or the locale has no such characters" in capsys.readouterr().err


def test_an_output_has_a_form(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for output, sentence in {
        " ": "expected the name of a folder",
        "out:1": "write ./out:1",
        "x" * 300: "more than 255 bytes",
        "http://shop/out": "nothing can be written to http addresses",
        "file://out": "three slashes",
        str(tmp_path / "file" / "out"): f"{tmp_path / 'file'} is no folder",
        str(tmp_path / "link"): f"{tmp_path / 'link'} is no folder",
        "//tmp/out": "after two slashes Spark expects a host; write /tmp/out",
        "file:///": "name a folder below the root",
    }.items():
        assert sentence in refusal(input=["in"], output=output)


def test_an_input_has_a_form() -> None:
    assert "a path has no character 0" in refusal(input=["in\0"], output="out")
    assert "after two slashes Spark expects a host" in refusal(input=["//data/in"], output="out")


def test_a_working_folder_that_was_deleted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the working folder cannot be used" in refusal(input=["in"], output=str(tmp_path))


def test_a_folder_that_may_only_be_listed_is_no_error_yet(
    special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def denied_within(path: Any, **options: Any) -> os.stat_result:
        if Path(path).parent == special:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", denied_within)
    check_places(LabelSettings(input=[str(special)], output=str(tmp_path / "out")))


@pytest.mark.parametrize(
    "name",
    ["labels", "scores", "reports", "_locks", "_staging", "labels/run_date=2026-11-01", "_locks/run_date=2026-11-01"],
)
@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_what_a_run_writes_to_are_folders(name: str, kind: str, tmp_path: Path) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.touch() if kind == "file" else place.symlink_to("nowhere")
    sentence = f"{place} is no folder; the run would write to it"
    assert sentence in refusal(input=["in"], output=str(tmp_path), run_date="2026-11-01")
    if name in {"_locks", "_staging"}:
        flags = {"output": str(tmp_path / "other"), "labels": str(tmp_path)}
        assert sentence in refusal(input=["in"], run_date="2026-11-01", **flags)
    # Not this run's.
    check_places(LabelSettings(input=["in"], output=str(tmp_path / "other"), run_date="2026-11-01"))  # type: ignore[arg-type]
