"""All uses of Spark's private interfaces.

PySpark has no public way to do what these functions do. Each names the private interface and the reason for using it.
All were tested with Spark 4.3.0; the tests of the functions fail if a later version differs.

The classes behind `jvm` are public where they are Hadoop's or Java's own; then only the way to them is private.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext, accumulators
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType
from pyspark.sql.udf import UserDefinedFunction
from pyspark.util import PythonEvalType

from spark_jobs.columns import column


def map_in_arrow(
    df: DataFrame, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: StructType
) -> DataFrame:
    """Do what `DataFrame.mapInArrow` does, without its check that pandas is installed.

    Private: `DataFrame._jdf.mapInArrow`, `UserDefinedFunction`, `PythonEvalType.SQL_MAP_ARROW_ITER_UDF`. pandas is not
    used on this path, and the versions of it that PySpark accepts are old. Spark 4.3.0.
    """
    udf = UserDefinedFunction(function, schema, "score_pairs", PythonEvalType.SQL_MAP_ARROW_ITER_UDF)
    columns = udf(*[column(df, name) for name in df.columns])
    return DataFrame(df._jdf.mapInArrow(columns._jc, False, None), df.sparkSession)


def load_submitted_configuration() -> None:
    """Connect to the Java process of `spark-submit`, so that `SparkConf()` has what was submitted.

    Private: `SparkContext._ensure_initialized`. `SparkConf()` is read before a session exists. Spark 4.3.0.
    """
    SparkContext._ensure_initialized()


def silence_accumulators() -> None:
    """Print no traceback if Spark's process ends: the run reports that in one sentence.

    Private: the servers in `pyspark.accumulators`, to which that process sends what tasks have counted. Spark 4.3.0.
    """
    for server in (accumulators.AccumulatorTCPServer, accumulators.AccumulatorUnixServer):
        server.handle_error = _say_nothing  # type: ignore[assignment, method-assign]


def _say_nothing(*_: object) -> None:
    """Take the place of a function that prints."""


def java_is_running() -> bool:
    """Return whether this process is connected to a Java process of Spark's.

    Private: `SparkContext._gateway`. The environment can be prepared only before Java starts. Spark 4.3.0.
    """
    return SparkContext._gateway is not None


def context_is_active() -> bool:
    """Return whether a `SparkContext` exists in this process.

    Private: `SparkContext._active_spark_context`. A run stops only the context that it made. Spark 4.3.0.
    """
    return SparkContext._active_spark_context is not None


def jvm(spark: SparkSession) -> Any:
    """Return the view of Spark's Java process through which classes are reached by name.

    Private: `SparkContext._jvm`. Hadoop's file systems have no Python interface. Spark 4.3.0.
    """
    return spark.sparkContext._jvm


def hadoop_configuration(spark: SparkSession) -> Any:
    """Return the Hadoop configuration, with the credentials of the session.

    Private: `SparkContext._jsc`. Spark 4.3.0.
    """
    return spark.sparkContext._jsc.hadoopConfiguration()


def java_array(spark: SparkSession, kind: Any, *items: Any) -> Any:
    """Return a Java array of class `kind`, as Java's variable arguments need one.

    Private: `SparkContext._gateway`. Spark 4.3.0.
    """
    gateway: Any = spark.sparkContext._gateway
    array = gateway.new_array(kind, len(items))
    for position, item in enumerate(items):
        array[position] = item
    return array


def java_property(spark: SparkSession, name: str) -> str:
    """Return a system property of Spark's Java process, such as `java.version`.

    Private: `SparkContext._jvm`. Spark 4.3.0.
    """
    return str(jvm(spark).System.getProperty(name))


def java_charset(spark: SparkSession, name: str) -> str | None:
    """Return Java's name for an encoding; `None` if it is not supported. `name` must be legal in Java.

    Private: `SparkContext._jvm`. Spark's text sources use Java's encodings. Spark 4.3.0.
    """
    charset = jvm(spark).java.nio.charset.Charset
    return str(charset.forName(name).name()) if charset.isSupported(name) else None


def has_java_class(spark: SparkSession, name: str) -> bool:
    """Return whether Spark's Java process can load a class.

    Private: `SparkContext._jvm`. Some codecs are found only by loading their class. Spark 4.3.0.
    """
    try:
        jvm(spark).java.lang.Class.forName(name)
    except Py4JError:
        return False
    return True


def has_format(spark: SparkSession, name: str) -> bool:
    """Return whether Spark has a data source of that name.

    Private: `DataSource.lookupDataSource` in Scala, `SparkSession._jsparkSession`. Writing with an unknown format fails
    only after everything is scored. Spark 4.3.0.
    """
    source = jvm(spark).org.apache.spark.sql.execution.datasources.DataSource
    try:
        source.lookupDataSource(name, spark._jsparkSession.sessionState().conf())
    except (PySparkException, Py4JJavaError):
        return False
    return True


def partition_folder(spark: SparkSession, name: str, value: str) -> str:
    """Return the folder name `name=value`, escaped as Spark escapes it.

    Private: `ExternalCatalogUtils.getPartitionPathString` in Scala. Spark unescapes it when it reads. Spark 4.3.0.
    """
    escaping = jvm(spark).org.apache.spark.sql.catalyst.catalog.ExternalCatalogUtils
    return str(escaping.getPartitionPathString(name, value))


def running_tasks(spark: SparkSession) -> int | None:
    """Return the number of running tasks; `None` if the Spark context has stopped.

    Private: `SparkContext._jsc`. Python's `statusTracker` has no executors. Spark 4.3.0.
    """
    context = spark.sparkContext._jsc.sc()
    running = sum(int(executor.numRunningTasks()) for executor in context.statusTracker().getExecutorInfos())
    return None if context.isStopped() else running


def executor_count(spark: SparkSession) -> int | None:
    """Return the number of registered executors; `None` if Spark runs in the driver's process alone.

    Private: `SparkContext._jsc`. Python's `statusTracker` has no executors; the driver counts among them. Spark 4.3.0.
    """
    context = spark.sparkContext._jsc.sc()
    return None if context.isLocal() else int(context.getExecutorMemoryStatus().size()) - 1


def sql_status_store(spark: SparkSession) -> Any:
    """Return Scala's `SQLAppStatusStore`: the queries of the session, their plans and their metrics.

    Private: the store itself, and `SparkSession._jsparkSession`. It exists without Spark's web page. Spark 4.3.0.
    """
    return spark._jsparkSession.sharedState().statusStore()


def stage_task_count(spark: SparkSession, stage: int) -> int:
    """Return the number of tasks of a stage's first attempt.

    Private: Scala's `AppStatusStore.taskCount`, and `SparkContext._jsc`. Spark 4.3.0.
    """
    return int(spark.sparkContext._jsc.sc().statusStore().taskCount(stage, 0))


def stage_tasks(spark: SparkSession, stage: int, *, first: int, most: int, slowest_first: bool) -> list[Any]:
    """Return tasks of a stage's first attempt by their run time, from number `first` on, as Scala's `TaskData`.

    Private: Scala's `AppStatusStore.taskList`, and `SparkContext._jsc`. Spark 4.3.0.
    """
    java = jvm(spark)
    sorting = java.org.apache.spark.status.api.v1.TaskSorting
    order = sorting.DECREASING_RUNTIME if slowest_first else sorting.INCREASING_RUNTIME
    any_status = java.java.util.ArrayList()
    tasks = spark.sparkContext._jsc.sc().statusStore().taskList(stage, 0, first, most, order, any_status)
    return [tasks.apply(number) for number in range(tasks.size())]
