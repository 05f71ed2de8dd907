"""The Spark session of a run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence

from pyspark import SparkConf
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from qtr_runtime.own_process import module_path
from qtr_runtime.resources import available_cpus
from spark_jobs.errors import SetupError, UsageError
from spark_jobs.lifecycle.environment import prepare_environment, submitted
from spark_jobs.lifecycle.java import options_for
from spark_jobs.spark_compat import java_is_running, java_property, load_submitted_configuration

_ROWS_PER_TASK = 100_000
_SHUFFLE_PARTITIONS = 64


def open_session(inputs: Sequence[str], *, arrow_batch_rows: int, debug: bool = False) -> SparkSession:
    """Return the session that runs already, or the one that `spark-submit` asked for, or start Spark on this machine.

    Whoever submits the job decides; what is set here are the needs of the job itself, and, where Spark runs on this
    machine alone, defaults that nobody has set otherwise.

    Parameters
    ----------
    inputs
        Paths of the input; Java is set up by their size.
    arrow_batch_rows
        Rows that Spark hands to Python at a time.
    debug
        Whether Spark's own warnings are shown.

    Raises
    ------
    JavaMissingError
        If Spark has to be started and there is no Java for it.
    SetupError
        If Spark does not start.
    """
    if submitted():
        load_submitted_configuration()
    elif not java_is_running():
        prepare_environment()
    given = SparkConf()
    local = is_local(given.get("spark.master", "local") or "local")
    wanted = job_settings(arrow_batch_rows)
    if local:
        # Under spark-submit it may be given; otherwise prepare_environment() has set it.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        wanted |= {key: value for key, value in machine_settings(inputs).items() if not given.contains(key)}
    builder = SparkSession.builder.appName("qtr label")
    for key, value in wanted.items():
        builder = builder.config(key, value)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    try:
        spark = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SetupError("Spark did not start: its Java process ended early, and wrote above why") from error
    if local:
        # On a cluster the log is the operator's business; here it would bury the one sentence that a person needs.
        spark.sparkContext.setLogLevel("WARN" if debug else "OFF")
    return spark


def scoring_partitions(spark: SparkSession, wanted: int | None, rows: int) -> int:
    """Return the number of Spark partitions to score in: those that are `wanted`, or by the number of rows.

    Enough for the last ones to finish together; and since a task is what a killed run may lose, none of more than
    about `_ROWS_PER_TASK` rows.
    """
    return wanted or max(4 * spark.sparkContext.defaultParallelism, -(-rows // _ROWS_PER_TASK))


def require_target(spark: SparkSession, target: str | None) -> None:
    """Refuse to run on a cluster with servers of this machine's own.

    Raises
    ------
    UsageError
        If Spark's executors are elsewhere and there is no `--target`.
    """
    master = spark.sparkContext.master or ""
    if target is None and not is_local(master):
        raise UsageError(
            f"--target is required with the master {master}: the servers that a run starts for itself listen on the "
            "driver's loopback address, where executors cannot reach them"
        )


def require_names(spark: SparkSession, names: Iterable[str]) -> None:
    """Make sure that Java, which the locale tells how names are written, can say the names of local files.

    Raises
    ------
    UsageError
        If Spark was started where the locale has no such characters.
    """
    encoding = java_property(spark, "sun.jnu.encoding")
    for name in names:
        if not name.isascii() and "://" not in name and encoding.upper() not in {"UTF-8", "UTF8"}:
            raise UsageError(f"Java cannot name {name} in this locale ({encoding}); start Spark with LC_ALL=C.UTF-8")


def is_local(master: str) -> bool:
    """Whether a master means this process alone; `local-cluster` has executors in processes of their own."""
    return master == "local" or master.startswith("local[")


def job_settings(arrow_batch_rows: int) -> dict[str, str]:
    """Return what the job itself needs of Spark, wherever it runs."""
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(arrow_batch_rows),
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        # Pairs that were shuffled by title alone are joined by title and query as they lie.
        "spark.sql.requireAllClusterKeysForCoPartition": "false",
        # The default, INT96, is deprecated and has no time zone for other readers.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Columns that pass through: times of day stay what they are; timestamps in nanoseconds, as pandas writes them,
        # are read as numbers and made timestamps again (`spark_jobs.input.parquet_input`).
        "spark.sql.timeType.enabled": "true",
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        # Any encoding that Java knows may be given for CSV and JSON.
        "spark.sql.legacy.javaCharsets": "true",
        # A second copy of a slow task would double the load on the servers that made it slow.
        "spark.speculation": "false",
        # gRPC writes its own log lines to stderr otherwise; what matters comes back as an exception.
        "spark.executorEnv.GRPC_VERBOSITY": "NONE",
        # Spark starts its workers with -m, which would look for modules where the driver happens to run.
        "spark.executorEnv.PYTHONSAFEPATH": "1",
    }


def machine_settings(inputs: Sequence[str]) -> dict[str, str]:
    """Return defaults for Spark on this machine alone."""
    cores = available_cpus()
    return {
        # A second try for a task whose Python worker was killed; plain local[n] has none.
        "spark.master": f"local[{cores},2]",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": options_for(inputs),
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        # The run shows its own progress, and asks the executors how far they are.
        "spark.ui.showConsoleProgress": "false",
        "spark.executor.heartbeatInterval": "1s",
        # For tens of millions of rows; adaptive execution merges those of fewer until they have some 64 MiB each.
        "spark.sql.shuffle.partitions": str(_SHUFFLE_PARTITIONS),
        "spark.executorEnv.PYTHONPATH": module_path(),
    }
