"""Turning what Spark, a Python worker or the client threw into the one sentence that a person reads."""

from __future__ import annotations

import re

from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]

from grpc_client import ClientError
from spark_jobs.errors import InputError, JobError, RunFailed

_IN_WORKER = re.compile(r"grpc_client\.errors\.\w+: (.+)")
_UNREADABLE = re.compile(r"Encountered error while reading file (.+?)\.(?:\s|$)")
_RAISED = re.compile(r"\[USER_RAISED_EXCEPTION\] (.+?)(?: SQLSTATE|$)", re.MULTILINE)
_CAUSES = (
    ("is not a Parquet file", "it is not a Parquet file, or its end is missing"),
    ("CANNOT_READ_FILE_FOOTER", "it is not a Parquet file, or its end is missing"),
    ("MALFORMED_CSV", "it has a malformed line"),
    ("CSV header does not conform", "its header differs from that of the other files"),
    ("MALFORMED_RECORD_IN_PARSING", "it has a malformed record"),
    ("FAILED_READ_FILE.FILE_NOT_EXIST", "it was removed during the run"),
    ("CONVERT_PARQUET_TYPE", "a column's type differs from that of the other files"),
    ("PARQUET_COLUMN_DATA_TYPE_MISMATCH", "a column's type differs from that of the other files"),
)


def as_job_error(error: BaseException, inputs: list[str]) -> JobError:
    """Give the error that the run reports for `error`.

    Parameters
    ----------
    error
        Whatever ended the run.
    inputs
        The input paths, named where Spark does not say which file it was.
    """
    if isinstance(error, JobError):
        return error
    if isinstance(error, ClientError):
        return RunFailed(str(error))
    try:
        text = str(error)
    except Exception:  # Py4J asks Spark's process for the text
        text = ""
    if not text or isinstance(error, (Py4JNetworkError, ConnectionError)):
        return RunFailed("Spark's process ended during the run: it was killed, or had too little memory")
    if in_worker := _IN_WORKER.findall(text):
        return RunFailed(in_worker[0].strip())
    if raised := _RAISED.search(text):
        return RunFailed(raised[1].strip())
    if "ParentNotDirectoryException" in text or "Mkdirs failed to create" in text:
        return InputError(
            "cannot write to the folder that --output names: a part of its path is a file or not writable"
        )
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return RunFailed("there is no space left on the disk; nothing was published, what was scored is kept")
    cause = next((sentence for mark, sentence in _CAUSES if mark in text), None)
    if unreadable := _UNREADABLE.search(text):
        file = re.sub("^file:(//)?", "", unreadable[1])
        return InputError(f"cannot read {file}: {cause or 'it is damaged or has another format'}")
    if cause is not None:
        return InputError(f"cannot read {', '.join(inputs)}: {cause}")
    if "UNABLE_TO_INFER_SCHEMA" in text:
        return InputError(f"cannot read {', '.join(inputs)}: there is no data in it")
    return RunFailed(f"{type(error).__name__}: {_first_sentence(text)} (--debug shows more)")


def _first_sentence(text: str) -> str:
    """Find the line that says what happened: Py4J puts a line of its own before it."""
    lines = [line.strip().removeprefix(": ") for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("An error occurred while calling", "at "))]
    return lines[0][:300] if lines else "no message"
