"""Translate errors of Spark, of its Python workers and of the client into one sentence and an exit status."""

from __future__ import annotations

import errno
import re

from py4j.protocol import Py4JNetworkError
from pyspark.errors import AnalysisException

from grpc_client import ClientError, ConfigError, MessageTooLargeError, RequestRejectedError
from qtr_runtime.own_process import stand_ins_sentence
from spark_jobs.errors import InputError, JobError, RunFailedError, SetupError, UsageError
from spark_jobs.lifecycle.damage import unreadable_file

_IN_WORKER = re.compile(r"grpc_client\.errors\.(\w+): (.+)")
_RAISED = re.compile(r"\[USER_RAISED_EXCEPTION\] (.+?)(?: SQLSTATE|$)", re.MULTILINE)
_CAUSES = (
    (
        "ChecksumException",
        "the checksum file (.NAME.crc) beside it does not fit; delete that if the file was changed by hand",
    ),
    ("is not a Parquet file", "it is not a Parquet file, or its end is missing"),
    ("CANNOT_READ_FILE_FOOTER", "it is not a Parquet file, or its end is missing"),
    ("Unexpected end of input stream", "its compressed data are cut off"),
    ("COLUMN_ALREADY_EXISTS", "it has columns whose names differ only by upper and lower case; rename one"),
    ("MALFORMED_CSV", "it has a malformed line"),
    ("CSV header does not conform", "its header differs from that of the other files"),
    ("MALFORMED_RECORD_IN_PARSING", "it has a malformed record"),
    ("FAILED_READ_FILE.FILE_NOT_EXIST", "it was removed during the run"),
    ("CONVERT_PARQUET_TYPE", "a column's type differs from that of the other files"),
    ("PARQUET_COLUMN_DATA_TYPE_MISMATCH", "a column's type differs from that of the other files"),
)

_REFUSED = re.compile(r" refused the request: ([A-Z_]+), ")
# These may pass: the run pins a model, and the service may have changed to another one meanwhile.
_TRANSIENT = frozenset({"NOT_FOUND", "FAILED_PRECONDITION", "ABORTED"})
_MACHINE_ERRNOS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        *(errno.EACCES, errno.EPERM, errno.EROFS),
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
        *(errno.EMFILE, errno.ENFILE),
    }
)
_MACHINE_FAULTS = tuple(
    (re.compile(marks), sentence)
    for marks, sentence in (
        (
            "No space left on device|Disk quota exceeded|DSQuotaExceededException",
            "there is no space left on the disk; nothing was published, what was scored is kept",
        ),
        ("File too large", "a file may not get as large as the run needs (ulimit -f): {}"),
        ("Too many open files", "this process may open too few files (ulimit -n): {}"),
        (
            "ParentNotDirectoryException|Mkdirs failed to create",
            "cannot write to the folder that --output names: a part of its path is a file or not writable",
        ),
        (
            "AccessControlException|AccessDenied|Access Denied|Permission denied|Operation not permitted",
            "no permission for a file or folder: {}",
        ),
        ("Read-only file system", "a folder that the run writes to is read-only: {}"),
        ("No FileSystem for scheme|UnsupportedFileSystemException", "Spark has no file system for this address: {}"),
        ("ClassNotFoundException: Class \\S*FileSystem\\S* not found", "Spark lacks the library for this storage: {}"),
        (
            "\\[DATA_SOURCE_NOT_FOUND\\]|Failed to find (the )?data source",
            "Spark does not know the format of --format; add its package with spark-submit --packages: {}",
        ),
        ("Failed to create (a )?(local|temp)\\S* dir", "there is no folder for temporary files: {}"),
    )
)


def to_job_error(error: BaseException, inputs: list[str]) -> JobError:
    """Return the error that the run reports for `error`.

    Parameters
    ----------
    error
        The exception that ended the run.
    inputs
        The input paths, for errors that do not name the file.
    """
    if isinstance(error, JobError):
        return error
    if isinstance(error, ClientError):
        return _of_client(type(error).__name__, str(error))
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRNOS:
        return SetupError(f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror))
    try:
        text = str(error)
    except Exception:  # Py4J asks Spark's process for the text, which may have ended
        text = ""
    if not text or isinstance(error, (Py4JNetworkError, ConnectionError)):
        return RunFailedError("Spark's process ended during the run: it was killed, or had too little memory")
    if in_worker := _IN_WORKER.findall(text):
        return _of_client(*in_worker[0])
    if raised := _RAISED.search(text):
        return RunFailedError(raised[1].strip())
    if machine_fault := next((sentence for mark, sentence in _MACHINE_FAULTS if mark.search(text)), None):
        return SetupError(machine_fault.format(_first_sentence(text)))
    cause = next((sentence for mark, sentence in _CAUSES if mark in text), None)
    if file := unreadable_file(text):
        return InputError(f"cannot read {file}: {cause or 'it is damaged or has another format'}")
    if cause is not None:
        return InputError(f"cannot read {', '.join(inputs)}: {cause}")
    if "UNABLE_TO_INFER_SCHEMA" in text:
        return InputError(f"cannot read {', '.join(inputs)}: there is no data in it")
    sentence = f"{type(error).__name__}: {_first_sentence(text)} (--debug shows more)"
    if stand_ins := stand_ins_sentence():
        return SetupError(f"{stand_ins}; {sentence}")
    # An error in a plan occurs again on the next run.
    return InputError(sentence) if isinstance(error, AnalysisException) else RunFailedError(sentence)


def _of_client(kind: str, sentence: str) -> JobError:
    """Return a `UsageError` if the request itself is wrong; otherwise the next run may succeed."""
    sentence = sentence.strip()
    refused = _REFUSED.search(sentence) if kind == RequestRejectedError.__name__ else None
    if refused and refused[1] not in _TRANSIENT:
        return UsageError(sentence)
    return (
        UsageError(sentence)
        if kind in {ConfigError.__name__, MessageTooLargeError.__name__}
        else RunFailedError(sentence)
    )


def _first_sentence(text: str) -> str:
    """Return the first line of the message without Py4J's own line before it."""
    lines = [line.strip().removeprefix(": ") for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("An error occurred while calling", "at "))]
    return lines[0][:300] if lines else "no message"
