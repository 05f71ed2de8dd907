"""The Spark session of a run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyspark import SparkConf
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from qtr_runtime.own_process import module_path
from qtr_runtime.resources import available_cpus
from spark_jobs.errors import SetupError, UsageError
from spark_jobs.lifecycle.environment import prepare_environment
from spark_jobs.lifecycle.java import options_for
from spark_jobs.spark_compat import java_is_running, java_property, load_submitted_configuration, silence_accumulators

_LEAST_ROWS_PER_TASK, _MOST_ROWS_PER_TASK = 1_000, 100_000
_SHUFFLE_PARTITIONS = 64


def open_session(
    inputs: Sequence[str], *, arrow_batch_rows: int, debug: bool = False, submitted: bool = False
) -> SparkSession:
    """Return the running session, or that of `spark-submit`, or start Spark on this machine.

    Settings that the job needs are always set. If Spark runs on this machine alone, defaults are added for settings
    that are not given.

    Parameters
    ----------
    inputs
        Paths of the input; Java is set up by their size.
    arrow_batch_rows
        Rows in a batch that Spark sends to Python.
    debug
        Whether Spark's own warnings, and what its Python workers write to standard error, are shown.
    submitted
        Whether `spark-submit` runs this program, so that Spark's Java process is already running.

    Raises
    ------
    JavaMissingError
        If Spark has to be started and there is no Java for it.
    SetupError
        If Spark does not start.
    """
    _silence_py4j()
    silence_accumulators()
    if submitted:
        load_submitted_configuration()
    elif not java_is_running():
        prepare_environment()
    given = SparkConf()
    local = is_local(given.get("spark.master", "local") or "local")
    wanted = job_settings(arrow_batch_rows)
    if local:
        # Under spark-submit it may be given; otherwise prepare_environment() has set it.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        defaults = machine_settings(inputs)
        if not debug:
            defaults["spark.python.daemon.module"] = "spark_jobs.lifecycle.worker_daemon"
        wanted |= {key: value for key, value in defaults.items() if not given.contains(key)}
    builder = SparkSession.builder.appName("qtr label")
    for key, value in wanted.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SetupError("Spark did not start: its Java process ended early, and wrote above why") from error
    if local:
        # On a cluster the operator sets the log level. On this machine Spark's log would hide the sentence of an error.
        spark.sparkContext.setLogLevel("WARN" if debug else "OFF")
    return spark


def _silence_py4j() -> None:
    """Log nothing of Py4J's: the run itself reports that Spark's process has ended, in one sentence."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    # Py4J writes its tracebacks by functions of `logging`, so to the root logger.
    logging.getLogger().addFilter(_not_of_py4j)


def _not_of_py4j(record: logging.LogRecord) -> bool:
    return Path(record.pathname).parent.name != "py4j"


def scoring_partitions(spark: SparkSession, wanted: int | None, rows: int) -> int:
    """Return the number of Spark partitions for scoring: `wanted`, or a number by the rows and the cores.

    Four for each core, so that the last tasks end at about the same time. More, if they would have more than about
    `_MOST_ROWS_PER_TASK` rows, since a killed run loses its unfinished tasks. Fewer, if they would have less than
    `_LEAST_ROWS_PER_TASK` rows: the first task of each Python worker costs 1.5 s of CPU before its first row.
    """
    return wanted or partitions_for(rows, spark.sparkContext.defaultParallelism)


def partitions_for(rows: int, cores: int) -> int:
    """Return the number of scoring partitions for `rows` rows on `cores` cores.

    Examples
    --------
    >>> [partitions_for(rows, cores=2) for rows in (0, 549, 5_000, 50_000, 5_000_000)]
    [1, 1, 5, 8, 50]
    """
    enough_rows = max(1, -(-rows // _LEAST_ROWS_PER_TASK))
    return max(min(4 * cores, enough_rows), -(-rows // _MOST_ROWS_PER_TASK))


def require_target(spark: SparkSession, target: str | None) -> None:
    """Make sure that a run on a cluster has a `--target`.

    Raises
    ------
    UsageError
        If the executors run on other machines and there is no `--target`.
    """
    master = spark.sparkContext.master or ""
    if target is None and not is_local(master):
        raise UsageError(
            f"--target is required with the master {master}: the servers that a run starts for itself listen on the "
            "driver's loopback address, where executors cannot reach them"
        )


def require_names(spark: SparkSession, names: Iterable[str]) -> None:
    """Make sure that Java can encode the names of local files in the locale that it was started with.

    Raises
    ------
    UsageError
        If Java's locale lacks a character of a name.
    """
    encoding = java_property(spark, "sun.jnu.encoding")
    for name in names:
        if not name.isascii() and "://" not in name and encoding.upper() not in {"UTF-8", "UTF8"}:
            raise UsageError(f"Java cannot name {name} in this locale ({encoding}); start Spark with LC_ALL=C.UTF-8")


def is_local(master: str) -> bool:
    """Return whether a master means this process alone; `local-cluster` has executors in processes of their own."""
    return master == "local" or master.startswith("local[")


def job_settings(arrow_batch_rows: int) -> dict[str, str]:
    """Return the Spark settings that the job needs everywhere."""
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(arrow_batch_rows),
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        # Lets rows that are partitioned by title be joined by title and query without another shuffle.
        "spark.sql.requireAllClusterKeysForCoPartition": "false",
        # The default, INT96, is deprecated, and other readers read it without a time zone.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # For columns that pass through unchanged: times of day are supported, and timestamps in nanoseconds, as pandas
        # writes them, are read as integers and converted back (`spark_jobs.input.parquet_input`).
        "spark.sql.timeType.enabled": "true",
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        # CSV and JSON may have any encoding that Java supports.
        "spark.sql.legacy.javaCharsets": "true",
        # A second copy of a slow task would double the load on the servers that made it slow.
        "spark.speculation": "false",
        # gRPC would write log lines to stderr; errors come back as exceptions.
        "spark.executorEnv.GRPC_VERBOSITY": "NONE",
        # Spark starts workers with -m, which would import modules from the working folder.
        "spark.executorEnv.PYTHONSAFEPATH": "1",
    }


def machine_settings(inputs: Sequence[str]) -> dict[str, str]:
    """Return default Spark settings for a run on this machine alone."""
    cores = available_cpus()
    return {
        # Two attempts for each task, in case its Python worker is killed; plain local[n] has one.
        "spark.master": f"local[{cores},2]",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": options_for(inputs),
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        # The run shows its own progress, which it reads from executor heartbeats.
        "spark.ui.showConsoleProgress": "false",
        "spark.executor.heartbeatInterval": "1s",
        # For tens of millions of rows; with fewer, adaptive execution merges partitions up to about 64 MiB.
        "spark.sql.shuffle.partitions": str(_SHUFFLE_PARTITIONS),
        "spark.executorEnv.PYTHONPATH": module_path(),
    }
