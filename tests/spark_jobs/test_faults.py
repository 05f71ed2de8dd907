"""What a person reads, for errors that take much to bring about."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JNetworkError

from grpc_client import TargetUnavailable
from spark_jobs.errors import InputError, JobError, RunFailed, UsageError
from spark_jobs.faults import as_job_error


class Silent(Exception):
    def __str__(self) -> str:
        raise ConnectionRefusedError


@pytest.mark.parametrize("error", [Py4JNetworkError("no answer"), ConnectionResetError("gone"), Silent()])
def test_sparks_process_is_gone(error: Exception) -> None:
    found = as_job_error(error, ["in"])
    assert type(found) is RunFailed
    assert str(found).startswith("Spark's process ended during the run")


def test_our_own_errors_keep_their_words() -> None:
    usage = UsageError("this flag is wrong")
    assert as_job_error(usage, []) is usage
    assert str(as_job_error(TargetUnavailable("no answer from a:1"), [])) == "no answer from a:1"


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        (
            "An error occurred while calling o1.parquet.\n: org.apache.spark.SparkException: Job aborted.\n\tat a.b\n"
            '  File "client.py", line 3\ngrpc_client.errors.ServerFault: it failed (request id 7)\n\n\tat org.x',
            RunFailed,
            "it failed (request id 7)",
        ),
        ("[FAILED_READ_FILE.NO_HINT] Encountered error while reading file hdfs://n/a b.orc.\n", InputError, "damaged"),
        ("[UNABLE_TO_INFER_SCHEMA] Unable to infer schema for Parquet.", InputError, "cannot read x, y: there is no"),
        (
            "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file s3://b/k.csv. Sad.",
            InputError,
            "k.csv",
        ),
        ("[USER_RAISED_EXCEPTION] the input changed SQLSTATE: P0001", RunFailed, "the input changed"),
        (
            "An error occurred while calling o1.x.\n: java.io.IOException: Mkdirs failed\n\tat x",
            RunFailed,
            "Mkdirs failed",
        ),
    ],
)
def test_the_sentence_is_found_in_what_spark_says(text: str, kind: type[JobError], sentence: str) -> None:
    found = as_job_error(RuntimeError(text), ["x", "y"])
    assert type(found) is kind
    assert sentence in str(found)
    assert "\n" not in str(found)


def test_an_output_below_a_file_is_the_users_mistake() -> None:
    error = RuntimeError("org.apache.hadoop.fs.ParentNotDirectoryException: Parent path is not a directory: file:/a")
    found = as_job_error(error, ["in"])
    assert type(found) is InputError
    assert "--output" in str(found)
