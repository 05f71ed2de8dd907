"""What Spark's own start takes from the environment, where `qtr label` starts it on this machine.

Here a run brings its own Spark and its own Python. What a shell still holds of another Spark (`SPARK_HOME`,
`PYSPARK_SUBMIT_ARGS`, `SPARK_LOCAL_IP`, …) is not meant for it and is left out. Another Spark, or settings of one's
own, are given to `spark-submit`, where nothing here is touched.
"""

from __future__ import annotations

import locale
import logging
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from spark_jobs.errors import SetupError
from spark_jobs.lifecycle.java import java_home

log = logging.getLogger("spark_jobs")

_PREFIXES = ("SPARK_", "PYSPARK_")
# A machine's own decision where large scratch files go.
_KEPT = frozenset({"SPARK_LOCAL_DIRS"})
_OTHERS = frozenset({"MASTER", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS"})

_LEAST_DESCRIPTORS = 256
_UTF8 = "C.UTF-8"


def submitted() -> bool:
    """Return whether `spark-submit` started this process: Spark runs already, with its own configuration."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def prepare_environment() -> None:
    """Set what Spark's launcher reads before there is a configuration to put it into, and leave out what is not ours.

    Raises
    ------
    JavaMissingError
        If there is no Java for Spark.
    """
    import pyspark

    ours = {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_CONF_DIR": str(Path(__file__).with_name("conf")),
        "PYSPARK_PYTHON": sys.executable,
    }
    names = (*ours, "PYSPARK_SUBMIT_ARGS")
    given = [name for name in names if name in os.environ and not _same(os.environ[name], ours.get(name, ""))]
    if given:
        log.info("variables that are meant for another Spark are not used", extra={"variables": given})
    for name in list(os.environ):
        if (name.startswith(_PREFIXES) and name not in _KEPT) or name in _OTHERS:
            del os.environ[name]
    os.environ.update(ours)
    os.environ["JAVA_HOME"] = str(java_home())
    if sys.getfilesystemencoding().lower() == "utf-8" and locale.getencoding().lower() != "utf-8":
        # Python reads names as UTF-8 even where the locale is C or POSIX; Java goes by the locale.
        os.environ["LC_ALL"] = _UTF8


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def require_descriptors(least: int = _LEAST_DESCRIPTORS) -> None:
    """Make sure that this process and those that it starts may open as many files as a run needs.

    The limit that a user may raise by himself is raised to the one that he may not.

    Raises
    ------
    SetupError
        If fewer than `least` are allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        raise SetupError(f"this process may open {soft} files (ulimit -n), a run needs at least {least}")
