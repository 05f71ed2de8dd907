"""What a session is set up for: where it runs, how many tasks score, which names Java can write."""

from __future__ import annotations

import logging

import pytest
from pyspark.sql import SparkSession

from spark_jobs.errors import UsageError
from spark_jobs.lifecycle import session
from spark_jobs.lifecycle.session import is_local, partitions_for, require_names, require_target


@pytest.mark.parametrize(
    ("master", "local"),
    [
        ("local", True),
        ("local[2]", True),
        ("local[*,3]", True),
        ("local-cluster[2,1,1024]", False),
        ("spark://a:7077", False),
        ("k8s://https://a", False),
        ("yarn", False),
    ],
)
def test_a_master_is_this_machine_or_others(master: str, local: bool) -> None:
    assert is_local(master) is local


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_tasks_are_bounded_in_rows_and_enough_for_the_cores(cores: int) -> None:
    for rows in (0, 1, 999, 10_000, 1_000_000, 95_000_000):
        tasks = partitions_for(rows, cores)
        assert tasks >= 1
        assert rows / tasks <= 100_000
        assert tasks <= max(4 * cores, rows / 100_000 + 1)
        assert tasks <= rows / 1_000 + 1


def test_a_run_on_this_machine_needs_no_target(spark: SparkSession) -> None:
    require_target(spark, None)


def test_names_that_java_cannot_write_are_refused(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    require_names(spark, ["größe", "größe/ß"])
    monkeypatch.setattr(session, "java_property", lambda *_: "ANSI_X3.4-1968")
    require_names(spark, ["plain", "", "s3a://shop/größe"])  # the names of an object store are not encoded
    with pytest.raises(UsageError, match=r"Java cannot name größe in this locale \(ANSI_X3.4-1968\)"):
        require_names(spark, ["plain", "größe"])


@pytest.mark.usefixtures("spark")
def test_py4j_logs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    for path in ("/site-packages/py4j/clientserver.py", "/site-packages/other/module.py"):
        record = root.makeRecord("root", logging.ERROR, path, 1, f"of {path}", (), None)
        root.handle(record)
    assert [record.pathname for record in caplog.records] == ["/site-packages/other/module.py"]
