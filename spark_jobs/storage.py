"""Files where Spark sees them: local, HDFS, object stores, whatever the path's scheme says."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

_HIDDEN = ("_", ".")
_GLANCE_S = 0.05


class Storage:
    """The few file operations that a run needs, through Hadoop's FileSystem.

    Parameters
    ----------
    spark
        The session whose configuration and credentials are used.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._context = spark.sparkContext
        self._jvm: Any = self._context._jvm
        # Under spark-submit Spark's process is our parent.
        self._parent = os.getppid() if "PYSPARK_GATEWAY_PORT" in os.environ else None

    def matches(self, pattern: str) -> list[str]:
        """List the files and folders that a path or glob names, each as a path with its scheme."""
        path, fs = self._open(pattern)
        return [str(status.getPath().toString()) for status in fs.globStatus(path) or []]

    def first_file(self, path: str) -> str | None:
        """Find the first data file at or below `path`, by name; hidden files and folders do not count."""
        hadoop_path, fs = self._open(path)
        if fs.getFileStatus(hadoop_path).isFile():
            return path
        for child in sorted(status.getPath().toString() for status in fs.listStatus(hadoop_path)):
            if not child.rsplit("/", 1)[-1].startswith(_HIDDEN) and (found := self.first_file(child)) is not None:
                return found
        return None

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        hadoop_path, fs = self._open(path)
        return bool(fs.exists(hadoop_path))

    def delete(self, path: str) -> None:
        """Delete a file or a folder with all that is in it; it need not exist."""
        try:
            hadoop_path, fs = self._open(path)
            fs.delete(hadoop_path, True)
        except (Py4JError, OSError):
            # Spark's process may be gone already, for example after Ctrl-C in a terminal that it shares.
            local = path.removeprefix("file:")
            if "://" not in local:
                shutil.rmtree(local, ignore_errors=True)

    def delete_if_empty(self, path: str) -> None:
        """Delete a folder unless something is in it."""
        try:
            hadoop_path, fs = self._open(path)
            if fs.exists(hadoop_path) and not fs.listStatus(hadoop_path):
                fs.delete(hadoop_path, False)
        except (Py4JError, OSError):
            local = Path(path.removeprefix("file:"))
            if local.is_dir() and not any(local.iterdir()):
                local.rmdir()

    def wait_for_writers(self, patience_s: float = 15.0) -> None:
        """Wait until no task runs any more: a cancelled task may still be writing for a moment."""
        until = time.monotonic() + patience_s
        stopped = True
        with suppress(Py4JError, OSError):
            context = self._context._jsc.sc()
            running = context.statusTracker().getExecutorInfos
            while time.monotonic() < until and any(executor.numRunningTasks() for executor in running()):
                time.sleep(_GLANCE_S)
            stopped = context.isStopped()
        if stopped and self._parent is not None:
            # Somebody ended spark-submit, by Ctrl-C for example. Its tasks may write until its process is gone.
            while time.monotonic() < until and os.getppid() == self._parent:
                time.sleep(_GLANCE_S)

    def _open(self, path: str) -> tuple[Any, Any]:
        hadoop_path = self._jvm.org.apache.hadoop.fs.Path(path)
        return hadoop_path, hadoop_path.getFileSystem(self._context._jsc.hadoopConfiguration())
