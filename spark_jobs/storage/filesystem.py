"""Files where Spark sees them: local, HDFS, object stores, whatever the path's scheme says."""

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

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.sql import SparkSession

from spark_jobs.spark_compat import hadoop_configuration, java_array, jvm, running_tasks
from spark_jobs.storage.hadoop_stream import HadoopStream

_HIDDEN = ("_", ".")
_COLON_IN_NAME = re.compile("[^/:]*:(?!/)")
_POLL_SECONDS = 0.05
_MOST_BYTES = 16 << 20


class HadoopFileSystem:
    """The few file operations that a run needs, through Hadoop's FileSystem.

    Parameters
    ----------
    spark
        The session whose configuration and credentials are used.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        # Under spark-submit Spark's process is our parent.
        self._parent = os.getppid() if "PYSPARK_GATEWAY_PORT" in os.environ else None

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that a path or glob names, each as a path with its scheme.

        A name is literal if there is something of that name: `pairs[1].csv` is a glob only where no such file is.
        """
        path, fs = self._open(pattern)
        literal = str(fs.makeQualified(path).toString())
        if (local := _local_of(literal)) is not None:
            # Hadoop cannot look for names with a colon in them.
            if local.exists():
                return [literal]
            found = sorted(glob.glob(str(local)))  # noqa: PTH207 -- Path.glob takes no absolute pattern
            if found:
                return [f"file:{name}" for name in found]
        elif fs.exists(path):
            return [literal]
        return [str(status.getPath().toString()) for status in fs.globStatus(path) or []]

    def walk(self, path: str) -> list[tuple[str, int]]:
        """Return each file at or below `path`, hidden ones too, with its size in bytes; sorted by name."""
        if (local := _local_of(path)) is not None:
            if not local.is_dir():
                return [(path, local.stat().st_size)]
            root = path.rstrip("/")
            found = []
            for folder, _, names in os.walk(local, followlinks=True, onerror=_raise):
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
        if (local := _local_of(path)) is not None:
            return local.open("rb")
        hadoop_path, fs = self._open(path)
        size = int(fs.getFileStatus(hadoop_path).getLen())
        return io.BufferedReader(HadoopStream(fs.open(hadoop_path), size), 1 << 20)

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

    def names(self, folder: str) -> list[str]:
        """List the names in a folder; none if it does not exist."""
        try:
            hadoop_path, fs = self._open(folder)
            return sorted(str(status.getPath().getName()) for status in fs.listStatus(hadoop_path))
        except Py4JJavaError as error:
            if _is_missing(error):
                return []
            raise
        except (Py4JError, OSError):
            # As in delete(): what is cleaned up after Spark's process is gone has to be found first.
            if (local := _local(folder)) is None:
                raise
            return sorted(path.name for path in local.iterdir()) if local.is_dir() else []

    def modified_ms(self, path: str) -> int | None:
        """Return the time of the last change, in milliseconds by the storage's own clock; `None` if it does not exist."""
        hadoop_path, fs = self._open(path)
        try:
            return int(fs.getFileStatus(hadoop_path).getModificationTime())
        except Py4JJavaError as error:
            if _is_missing(error):
                return None
            raise

    def write_text(self, path: str, text: str) -> None:
        """Write a small file, or write it anew; folders above it are made."""
        hadoop_path, fs = self._open(path)
        stream = fs.create(hadoop_path, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def replace_text(self, path: str, text: str) -> None:
        """Write a small file that readers see whole, the old one or the new one; folders above it are made."""
        hadoop: Any = jvm(self._spark).org.apache.hadoop
        files = hadoop.fs
        configuration = hadoop.conf.Configuration(hadoop_configuration(self._spark))
        # No .crc file beside it: who mends a file by hand could not have it read any more.
        configuration.set("fs.AbstractFileSystem.file.impl", "org.apache.hadoop.fs.local.RawLocalFs")
        target, fs = self._open(path)
        target = fs.makeQualified(target)
        try:
            context = files.FileContext.getFileContext(target.toUri(), configuration)
        except Py4JJavaError as error:
            if not str(error.java_exception.getClass().getName()).endswith("UnsupportedFileSystemException"):
                raise
            # A store of objects, which appear when they are complete.
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
        """Read a small file, at most its first 16 MiB; empty if it does not exist, or cannot be read at this moment."""
        hadoop_path, fs = self._open(path)
        try:
            stream = fs.open(hadoop_path)
            try:
                return bytes(stream.readNBytes(_MOST_BYTES)).decode(errors="replace")
            finally:
                stream.close()
        except Py4JJavaError:
            return ""

    def rename(self, source: str, target: str) -> None:
        """Return a folder another name, where there is none of that name; folders above it are made.

        One step on local disks and HDFS. Object stores copy file by file.
        """
        old, fs = self._open(source)
        new, _ = self._open(target)
        fs.mkdirs(new.getParent())
        if fs.exists(new) or not fs.rename(old, new):
            raise OSError(f"{source} could not be renamed to {target}")

    def delete(self, path: str, *, below: str) -> None:
        """Delete a file or a folder with all that is in it; it need not exist.

        Parameters
        ----------
        path
            What to delete.
        below
            Folder that `path` must lie in: the caller's own, which no file's content has a say in.

        Raises
        ------
        OutsideError
            If `path` does not lie in `below`.
        """
        require_below(path, below)
        try:
            hadoop_path, fs = self._open(path)
            fs.delete(hadoop_path, True)
        except (Py4JError, OSError):
            # Spark's process may be gone already, for example after Ctrl-C in a terminal that it shares.
            local = _local(path)
            if local is not None and local.is_dir():
                shutil.rmtree(local, ignore_errors=True)
            elif local is not None:
                local.unlink(missing_ok=True)
                # Hadoop keeps a checksum beside each file.
                local.with_name(f".{local.name}.crc").unlink(missing_ok=True)

    def delete_if_empty(self, path: str) -> None:
        """Delete a folder unless something is in it."""
        try:
            hadoop_path, fs = self._open(path)
            if fs.exists(hadoop_path) and not fs.listStatus(hadoop_path):
                fs.delete(hadoop_path, False)
        except (Py4JError, OSError):
            # rmdir() refuses what is not empty.
            if (local := _local(path)) is not None:
                with suppress(OSError):
                    local.rmdir()

    def wait_for_writers(self, patience_seconds: float = 15.0) -> None:
        """Wait until no task runs any more: a cancelled task may still be writing for a moment."""
        until = time.monotonic() + patience_seconds
        stopped = True
        with suppress(Py4JError, OSError):
            while (running := running_tasks(self._spark)) and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
            stopped = running is None
        if stopped and self._parent is not None:
            # Somebody ended spark-submit, by Ctrl-C for example. Its tasks may write until its process is gone.
            while time.monotonic() < until and os.getppid() == self._parent:
                time.sleep(_POLL_SECONDS)

    def _open(self, path: str) -> tuple[Any, Any]:
        if _COLON_IN_NAME.match(path):
            # Hadoop would take what stands before the colon for a scheme.
            path = str(Path(path).absolute())
        hadoop_path = jvm(self._spark).org.apache.hadoop.fs.Path(path)
        return hadoop_path, hadoop_path.getFileSystem(hadoop_configuration(self._spark))


class OutsideError(ValueError):
    """A path that was to be deleted or renamed leads out of the folder that it must lie in."""


def require_below(path: str, folder: str) -> None:
    """Make sure that a path begins with a folder and leads on from it, never back.

    Raises
    ------
    OutsideError
        If it does not, or is the folder itself.
    """
    start = folder.rstrip("/") + "/"
    names = [name for name in path[len(start) :].split("/") if name]
    if not path.startswith(start) or not names or {".", ".."}.intersection(names):
        raise OutsideError(f"{path!r} does not lie in {folder!r}; it was left alone")


def _raise(error: OSError) -> None:
    raise error


def literal(path: str) -> str:
    """Return a path that means `path` itself where Spark would take some of its characters for a glob."""
    return re.sub(r"([\\\[\]{}*?])", r"\\\1", path)


def _local_of(path: str) -> Path | None:
    """Return a path with its scheme as one of this machine, if it is one."""
    return Path(re.sub("^file:(//(?=/))?", "", path)) if path.startswith("file:") else None


def _is_missing(error: Py4JJavaError) -> bool:
    return str(error.java_exception.getClass().getName()) == "java.io.FileNotFoundException"


def _local(path: str) -> Path | None:
    name = path.removeprefix("file:")
    return None if "://" in name else Path(name)
