"""Files as Spark reaches them: on local disks, HDFS or object stores, by the scheme of the path."""

from __future__ import annotations

import glob
import io
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from spark_jobs.spark_compat import hadoop_configuration, java_array, jvm, running_tasks
from spark_jobs.storage.hadoop_stream import HadoopStream
from spark_jobs.storage.paths import file_scheme_path, links_upwards, local_path, require_below

_HIDDEN = ("_", ".")
_COLON_IN_NAME = re.compile("[^/:]*:(?!/)")
_POLL_SECONDS = 0.05
_MAX_TEXT_BYTES = 16 << 20


class HadoopFileSystem:
    """The file operations that a run needs, through Hadoop's `FileSystem`.

    Parameters
    ----------
    spark
        The session, whose configuration and credentials are used.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        # Under spark-submit the parent of this process is Spark's Java process.
        self._parent = os.getppid() if "PYSPARK_GATEWAY_PORT" in os.environ else None

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that a path or glob names, each as a path with its scheme.

        A path that exists is literal: `pairs[1].csv` is a glob only if there is no file of that name.
        """
        path, fs = self._open(pattern)
        literal = str(fs.makeQualified(path).toString())
        if (local := file_scheme_path(literal)) is not None:
            # Hadoop's globs fail on names with a colon.
            if os.path.exists(local):  # noqa: PTH110 -- Path.exists raises for names that are too long
                return [literal]
            # Hadoop and shells also write [^a] for what Python writes as [!a].
            found = sorted(glob.glob(str(local).replace("[^", "[!")))  # noqa: PTH207 -- Path.glob takes no absolute pattern
            if found:
                return [f"file:{name}" for name in found]
        elif fs.exists(path):
            return [literal]
        return [str(status.getPath().toString()) for status in fs.globStatus(path) or []]

    def walk(self, path: str) -> list[tuple[str, int]]:
        """Return each file at or below `path`, hidden files too, with its size in bytes; sorted by name."""
        if (local := file_scheme_path(path)) is not None:
            if not local.is_dir():
                return [(path, local.stat().st_size)]
            root = path.rstrip("/")
            found = []
            for folder, folders, names in os.walk(local, followlinks=True, onerror=_raise):
                # A link to a folder above it leads round in a circle.
                folders[:] = [name for name in folders if not links_upwards(Path(folder) / name)]
                below = Path(folder).relative_to(local).as_posix()
                place = root if below == "." else f"{root}/{below}"
                found += [(f"{place}/{name}", (Path(folder) / name).stat().st_size) for name in names]
            return sorted(found)
        hadoop_path, fs = self._open(path)
        if fs.getFileStatus(hadoop_path).isFile():
            return [(path, int(fs.getFileStatus(hadoop_path).getLen()))]
        found, files = [], fs.listFiles(hadoop_path, True)
        while files.hasNext():
            status = files.next()
            found.append((str(status.getPath().toString()), int(status.getLen())))
        return sorted(found)

    def open(self, path: str) -> IO[bytes]:
        """Return a file's bytes as a stream that can seek."""
        if (local := file_scheme_path(path)) is not None:
            return local.open("rb")
        hadoop_path, fs = self._open(path)
        size = int(fs.getFileStatus(hadoop_path).getLen())
        return io.BufferedReader(HadoopStream(fs.open(hadoop_path), size), 1 << 20)

    def first_file(self, path: str) -> str | None:
        """Return the first data file at or below `path`, by name; hidden files and folders are skipped."""
        hadoop_path, fs = self._open(path)
        if fs.getFileStatus(hadoop_path).isFile():
            return path
        for child in sorted(status.getPath().toString() for status in fs.listStatus(hadoop_path)):
            if not child.rsplit("/", 1)[-1].startswith(_HIDDEN) and (found := self.first_file(child)) is not None:
                return found
        return None

    def exists(self, path: str) -> bool:
        """Return whether a file or folder exists."""
        hadoop_path, fs = self._open(path)
        return bool(fs.exists(hadoop_path))

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none if it does not exist."""
        try:
            hadoop_path, fs = self._open(folder)
            return sorted(str(status.getPath().getName()) for status in fs.listStatus(hadoop_path))
        except Py4JJavaError as error:
            if _is_missing(error):
                return []
            raise
        except (Py4JError, OSError):
            # Spark's process is gone; cleaning up needs the names all the same, see delete().
            if (local := local_path(folder)) is None:
                raise
            return sorted(path.name for path in local.iterdir()) if local.is_dir() else []

    def modified_ms(self, path: str) -> int | None:
        """Return the time of the last change, in ms by the storage's own clock; `None` if it does not exist."""
        hadoop_path, fs = self._open(path)
        try:
            return int(fs.getFileStatus(hadoop_path).getModificationTime())
        except Py4JJavaError as error:
            if _is_missing(error):
                return None
            raise

    def write_text(self, path: str, text: str) -> None:
        """Write a small file, replacing an older one; folders above it are made."""
        hadoop_path, fs = self._open(path)
        stream = fs.create(hadoop_path, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def replace_text(self, path: str, text: str) -> None:
        """Replace a small file atomically: readers see the old or the new text. Folders above it are made."""
        hadoop: Any = jvm(self._spark).org.apache.hadoop
        files = hadoop.fs
        configuration = hadoop.conf.Configuration(hadoop_configuration(self._spark))
        # No .crc file beside it: a file that was edited by hand would fail its checksum.
        configuration.set("fs.AbstractFileSystem.file.impl", "org.apache.hadoop.fs.local.RawLocalFs")
        target, fs = self._open(path)
        target = fs.makeQualified(target)
        try:
            context = files.FileContext.getFileContext(target.toUri(), configuration)
        except Py4JJavaError as error:
            if not str(error.java_exception.getClass().getName()).endswith("UnsupportedFileSystemException"):
                raise
            # An object store, where objects appear when they are complete.
            self.write_text(path, text)
            return
        draft = files.Path(target.getParent(), f".{target.getName()}-{uuid.uuid4().hex}")
        rename = getattr(files, "Options$Rename")
        options = java_array(self._spark, rename, rename.OVERWRITE)
        try:
            stream = context.create(draft).overwrite(True).recursive().build()
            try:
                stream.write(bytearray(text.encode()))
            finally:
                stream.close()
            context.rename(draft, target, options)
        except BaseException:
            with suppress(Py4JError, OSError):
                context.delete(draft, False)
            raise

    def read_text(self, path: str) -> str:
        """Return the text of a small file, at most its first 16 MiB; empty if it is missing or cannot be read.

        A pipe or a device counts as missing: reading it might never end.
        """
        hadoop_path, fs = self._open(path)
        local = file_scheme_path(str(fs.makeQualified(hadoop_path).toString()))
        if local is not None and not os.path.isfile(local):  # noqa: PTH113 -- Path.is_file raises without permission
            return ""
        try:
            stream = fs.open(hadoop_path)
            try:
                return bytes(stream.readNBytes(_MAX_TEXT_BYTES)).decode(errors="replace")
            finally:
                stream.close()
        except Py4JJavaError:
            return ""

    def rename(self, source: str, target: str) -> None:
        """Rename a folder; folders above `target` are made. Atomic on local disks and HDFS.

        Raises
        ------
        OSError
            If `target` exists, or the storage refuses.
        """
        old, fs = self._open(source)
        new, _ = self._open(target)
        fs.mkdirs(new.getParent())
        if fs.exists(new) or not fs.rename(old, new):
            raise OSError(f"{source} could not be renamed to {target}")

    def delete(self, path: str, *, below: str) -> None:
        """Delete a file, or a folder with its contents; it need not exist.

        Parameters
        ----------
        path
            What to delete.
        below
            Folder that `path` must be in: a folder of the caller's own, never one that was read from a file.

        Raises
        ------
        OutsideError
            If `path` is not in `below`.
        """
        require_below(path, below)
        try:
            hadoop_path, fs = self._open(path)
            fs.delete(hadoop_path, True)
        except (Py4JError, OSError):
            # Spark's process may have ended first, for example after Ctrl-C in the terminal that it shares.
            local = local_path(path)
            if local is not None and local.is_dir():
                shutil.rmtree(local, ignore_errors=True)
            elif local is not None:
                local.unlink(missing_ok=True)
                # Hadoop writes a checksum file beside each file.
                local.with_name(f".{local.name}.crc").unlink(missing_ok=True)

    def delete_if_empty(self, path: str) -> None:
        """Delete a folder if it is empty."""
        try:
            hadoop_path, fs = self._open(path)
            if fs.exists(hadoop_path) and not fs.listStatus(hadoop_path):
                fs.delete(hadoop_path, False)
        except (Py4JError, OSError):
            # rmdir() fails if the folder is not empty.
            if (local := local_path(path)) is not None:
                with suppress(OSError):
                    local.rmdir()

    def wait_for_writers(self, timeout_seconds: float = 15.0) -> None:
        """Wait until no task is running: a cancelled task may still write for a moment."""
        until = time.monotonic() + timeout_seconds
        stopped = True
        with suppress(Py4JError, OSError):
            while (running := running_tasks(self._spark)) and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
            stopped = running is None
        if stopped and self._parent is not None:
            # spark-submit was ended, by Ctrl-C for example. Its tasks may write until its process has ended.
            while time.monotonic() < until and os.getppid() == self._parent:
                time.sleep(_POLL_SECONDS)

    def _open(self, path: str) -> tuple[Any, Any]:
        if _COLON_IN_NAME.match(path):
            # Hadoop would read the part before the colon as a scheme.
            path = str(Path(path).absolute())
        hadoop_path = jvm(self._spark).org.apache.hadoop.fs.Path(path)
        return hadoop_path, hadoop_path.getFileSystem(hadoop_configuration(self._spark))


def _raise(error: OSError) -> None:
    raise error


def _is_missing(error: Py4JJavaError) -> bool:
    return str(error.java_exception.getClass().getName()) == "java.io.FileNotFoundException"
