"""Spark's private interfaces are there and answer as expected; a new Spark version is tried with these tests first."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyspark.accumulators import AccumulatorTCPServer
from pyspark.sql import SparkSession

from spark_jobs import spark_compat


def test_arrow_batches_pass_through_python(spark: SparkSession) -> None:
    def doubled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"a.b": [2 * value for value in batch.column("a.b").to_pylist()]})

    frame = spark.range(5).toDF("a.b")
    mapped = spark_compat.map_in_arrow(frame, doubled, frame.schema)
    assert sorted(row[0] for row in mapped.collect()) == [0, 2, 4, 6, 8]


def test_the_session_and_its_java_are_seen(spark: SparkSession) -> None:
    assert spark_compat.java_is_running()
    assert spark_compat.context_is_active()
    assert int(spark_compat.java_property(spark, "java.version").split(".")[0]) >= 17
    assert spark_compat.hadoop_configuration(spark).get("fs.defaultFS") == "file:///"
    assert spark_compat.running_tasks(spark) == 0


def test_what_java_and_spark_lack_is_found(spark: SparkSession) -> None:
    assert spark_compat.has_java_class(spark, "java.lang.String")
    assert not spark_compat.has_java_class(spark, "com.example.Missing")
    assert spark_compat.has_format(spark, "parquet")
    assert not spark_compat.has_format(spark, "no_such_format")
    assert spark_compat.java_charset(spark, "cp1252") == "windows-1252"
    assert spark_compat.java_charset(spark, "klingon") is None


@pytest.mark.parametrize(("value", "folder"), [("1.0", "model=1.0"), ("a/b=c: d", "model=a%2Fb%3Dc%3A d")])
def test_a_value_becomes_a_folder_as_spark_writes_it(spark: SparkSession, value: str, folder: str) -> None:
    assert spark_compat.partition_folder(spark, "model", value) == folder


def test_an_array_for_variable_arguments(spark: SparkSession) -> None:
    words = spark_compat.java_array(spark, spark_compat.jvm(spark).java.lang.String, "a", "b")
    assert list(words) == ["a", "b"]


def test_status_stores_list_queries_and_tasks(spark: SparkSession) -> None:
    store = spark_compat.sql_status_store(spark)
    before = int(store.executionsCount())
    spark.range(10).repartition(3).count()
    assert int(store.executionsCount()) == before + 1
    stages = [int(stage) for stage in str(store.executionsList(before, 1).apply(0).stages().mkString(",")).split(",")]
    stage = min(stages)
    count = spark_compat.stage_task_count(spark, stage)
    times = [
        int(task.taskMetrics().get().executorRunTime())
        for task in spark_compat.stage_tasks(spark, stage, first=0, most=count, slowest_first=True)
    ]
    assert len(times) == count > 0
    assert times == sorted(times, reverse=True)


@pytest.mark.usefixtures("spark")
def test_a_connection_for_accumulators_that_breaks_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            raise EOFError

    with (
        AccumulatorTCPServer(("127.0.0.1", 0), Broken, "token") as server,
        socket.create_connection(("127.0.0.1", server.socket.getsockname()[1])),
    ):
        server.handle_request()
    assert capfd.readouterr().err == ""
