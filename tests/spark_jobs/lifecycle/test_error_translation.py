"""Messages and exit statuses of errors that are hard to cause in a real run."""

from __future__ import annotations

import errno

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.errors import AnalysisException

from grpc_client import ConfigError, RequestRejectedError, ResponseMismatchError, TargetUnavailableError
from spark_jobs.errors import InputError, JobError, RunFailedError, SetupError, UsageError
from spark_jobs.lifecycle.error_translation import to_job_error


class Silent(Exception):
    def __str__(self) -> str:
        raise ConnectionRefusedError


@pytest.mark.parametrize("error", [Py4JNetworkError("no answer"), ConnectionResetError("gone"), Silent()])
def test_sparks_process_is_gone(error: Exception) -> None:
    found = to_job_error(error, ["in"])
    assert type(found) is RunFailedError
    assert str(found).startswith("Spark's process ended during the run")


def test_our_own_errors_keep_their_words() -> None:
    usage = UsageError("this flag is wrong")
    assert to_job_error(usage, []) is usage
    assert str(to_job_error(TargetUnavailableError("no answer from a:1"), [])) == "no answer from a:1"


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "An error occurred while calling o1.parquet.\n: org.apache.spark.SparkException: Job aborted.\n\tat a.b\n"
            '  File "client.py", line 3\ngrpc_client.errors.ServerFaultError: it failed (request id 7)\n\n\tat org.x',
            RunFailedError,
            "it failed (request id 7)",
        ),
        ("[FAILED_READ_FILE.NO_HINT] Encountered error while reading file hdfs://n/a b.orc.\n", InputError, "damaged"),
        ("[COLUMN_ALREADY_EXISTS] The column `a` already exists.", InputError, "upper and lower case"),
        ("[UNABLE_TO_INFER_SCHEMA] Unable to infer schema for Parquet.", InputError, "cannot read x, y: there is no"),
        (
            "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file s3://b/k.csv. Sad.",
            InputError,
            "k.csv",
        ),
        ("[USER_RAISED_EXCEPTION] the input changed SQLSTATE: P0001", RunFailedError, "the input changed"),
        (
            "An error occurred while calling o1.x.\n: java.io.IOException: Mkdirs failed\n\tat x",
            RunFailedError,
            "Mkdirs failed",
        ),
    ],
)
def test_the_sentence_is_found_in_what_spark_says(text: str, kind: type[JobError], sentence: str) -> None:
    found = to_job_error(RuntimeError(text), ["x", "y"])
    assert type(found) is kind
    assert sentence in str(found)
    assert "\n" not in str(found)


def test_an_output_below_a_file_is_the_users_mistake() -> None:
    error = RuntimeError("org.apache.hadoop.fs.ParentNotDirectoryException: Parent path is not a directory: file:/a")
    found = to_job_error(error, ["in"])
    assert type(found) is SetupError
    assert "--output" in str(found)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        # What may have passed when the run is started again.
        (TargetUnavailableError("no answer from a:1"), 1),
        (RequestRejectedError("a:1 refused the request: NOT_FOUND, model student 1 is not served", "NOT_FOUND"), 1),
        (ResponseMismatchError("a:1 answered by model m 2, expected m 1"), 1),
        (RuntimeError("x\n: java.net.ConnectException: Call From a to b:8020 failed on connection exception"), 1),
        (RuntimeError("x\n: java.net.UnknownHostException: namenode"), 1),
        (RuntimeError("grpc_client.errors.ServerFaultError: a:1 failed: INTERNAL, x (request id 7)"), 1),
        # What has to be mended first.
        (ConfigError("tls_ca /a cannot be read"), 2),
        (RequestRejectedError("a:1 refused the request: UNAUTHENTICATED, the token is unknown", "UNAUTHENTICATED"), 2),
        (RuntimeError("grpc_client.errors.RequestRejectedError: a:1 refused the request: PERMISSION_DENIED, no"), 2),
        (RuntimeError("grpc_client.errors.MessageTooLargeError: a:1 refused a message by its size: …"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 2),
        (OSError(errno.EFBIG, "File too large", "/out/a"), 2),
        (RuntimeError("x\n: java.io.IOException: File too large"), 2),
        (RuntimeError("x\n: java.io.IOException: No space left on device"), 2),
        (RuntimeError("x\n: java.io.FileNotFoundException: /out/_locks/a.json (Read-only file system)"), 2),
        (RuntimeError("x\n: org.apache.hadoop.security.AccessControlException: Permission denied: user=me"), 2),
        (RuntimeError('x\n: org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "s9"'), 2),
        (
            RuntimeError(
                "x\n: java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found"
            ),
            2,
        ),
        (RuntimeError("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: delta."), 2),
        (RuntimeError("x\n: java.io.FileNotFoundException: /in/a.parquet (Too many open files)"), 2),
        (AnalysisException("[INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST] Cannot write incompatible data"), 2),
    ],
)
def test_the_status_says_whether_the_run_may_simply_be_started_again(error: Exception, status: int) -> None:
    found = to_job_error(error, ["in"])
    assert found.exit_code == status
    assert "\n" not in str(found)
