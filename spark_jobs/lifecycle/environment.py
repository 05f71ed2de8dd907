"""The environment variables of a Spark that `qtr label` starts on this machine.

Such a run uses the Spark and the Python that it is installed with. Variables of another Spark (`SPARK_HOME`,
`PYSPARK_SUBMIT_ARGS`, `SPARK_LOCAL_IP`, …) are removed. For another Spark, or other settings, there is `spark-submit`,
whose environment is not changed. Temporary files go to `SPARK_LOCAL_DIRS`, or to `TMPDIR` as with other programs.
"""

from __future__ import annotations

import locale
import logging
import os
import resource
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from spark_jobs.errors import SetupError
from spark_jobs.lifecycle.java import java_home, temporary_folder

log = logging.getLogger(__name__)

_PREFIXES = ("SPARK_", "PYSPARK_")
# Where large scratch files go is the machine's decision.
_LOCAL_DIRS = "SPARK_LOCAL_DIRS"
_OTHERS = frozenset({"MASTER", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS"})

# Java keeps some 300 files of Spark open, and each core adds workers and shuffle files.
_LEAST_DESCRIPTORS = 1024
_UTF8 = "C.UTF-8"


def submitted() -> bool:
    """Return whether the variables name a Java process of `spark-submit`: this program's, or that of one above it."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def prepare_environment() -> None:
    """Set the variables that Spark's launcher reads, and remove those of another Spark.

    Raises
    ------
    JavaMissingError
        If there is no Java for Spark.
    SetupError
        If there is no folder for Spark's temporary files.
    """
    import pyspark

    ours = {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_CONF_DIR": str(Path(__file__).with_name("conf")),
        "PYSPARK_PYTHON": sys.executable,
        _LOCAL_DIRS: _scratch_folders(os.environ.get(_LOCAL_DIRS) or temporary_folder()),
    }
    names = (*(name for name in ours if name != _LOCAL_DIRS), "PYSPARK_SUBMIT_ARGS")
    given = [name for name in names if name in os.environ and not _same(os.environ[name], ours.get(name, ""))]
    if given:
        log.info("variables of another Spark are ignored", extra={"variables": given})
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _OTHERS:
            del os.environ[name]
    os.environ.update(ours)
    os.environ["JAVA_HOME"] = str(java_home())
    if sys.getfilesystemencoding().lower() == "utf-8" and locale.getencoding().lower() != "utf-8":
        # Python uses UTF-8 for file names even in the locales C and POSIX; Java uses the encoding of the locale.
        os.environ["LC_ALL"] = _UTF8


def _scratch_folders(folders: str) -> str:
    """Return `folders`, a list with commas, if Spark can make a folder in one of them; it leaves the others out."""
    for folder in folders.split(","):
        with suppress(OSError, ValueError):
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(tempfile.mkdtemp(dir=folder)).rmdir()
            return folders
    raise SetupError(f"Spark can make no folder for temporary files in {folders}; set SPARK_LOCAL_DIRS to another")


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def keep_own_permissions() -> None:
    """Remove the bits of the umask that would take this process's own permission for what it writes."""
    os.umask(os.umask(0o077) & ~0o700)


def require_descriptors(least: int = _LEAST_DESCRIPTORS) -> None:
    """Make sure that this process and its children may open as many files as a run needs.

    The soft limit is raised to the hard one.

    Raises
    ------
    SetupError
        If the limit is below `least`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        raise SetupError(f"this process may open {soft} files (ulimit -n), a run needs at least {least}")
