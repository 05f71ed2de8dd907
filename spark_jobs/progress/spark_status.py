"""Progress as Spark reports it, for display only; counts of a report come from the written rows.

It comes from Spark's status stores, which exist with and without the web page. They have no Python interface and may
change with Spark's version: any error here means "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from spark_jobs.spark_compat import executor_count, sql_status_store, stage_task_count, stage_tasks

_NODE, _METRIC = "MapInArrow", "number of output rows"
_NEWEST = 4
_SHOWN_TASKS = 6
_WHOLE = re.compile(r"[\d,]+")


class Tasks(NamedTuple):
    """Tasks of the running stages, and the executors for them.

    Attributes
    ----------
    done, total
        Numbers of ended and of all tasks.
    executors
        Number of registered executors; `None` if it is unknown, or if Spark runs on this machine alone.
    """

    done: int = 0
    total: int = 0
    executors: int | None = None


@dataclass(frozen=True)
class TaskTime:
    """One task of the scoring step: its partition, where it ran, its seconds, and the rows it wrote."""

    partition: int
    host: str
    seconds: float
    rows: int


@dataclass(frozen=True)
class Partitions:
    """Durations of the scoring step's tasks: the slowest ones, slowest first, and the median."""

    tasks: int
    median_seconds: float
    slowest: tuple[TaskTime, ...]


class SparkStatus:
    """Reads Spark's status; queries that began before this object was made do not count.

    Parameters
    ----------
    spark
        The session.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._executions: Any = sql_status_store(spark)
        self._metric: int | None = None
        self._begun_before = {self._id(number) for number in self._newest()}

    def tasks(self) -> Tasks:
        """Return the tasks of the running stages, and the number of executors."""
        with suppress(Py4JError, OSError, AttributeError):
            tracker = self._spark.sparkContext.statusTracker()
            stages = filter(None, map(tracker.getStageInfo, tracker.getActiveStageIds()))
            counts = [(stage.numCompletedTasks, stage.numTasks) for stage in stages]
            done, total = sum(done for done, _ in counts), sum(total for _, total in counts)
            return Tasks(done, total, executor_count(self._spark))
        return Tasks()

    def rows_scored(self, step: str) -> int:
        """Return the rows that Python has returned in the running query of a step, those of unfinished tasks included.

        Executors report it with every heartbeat, `spark.executor.heartbeatInterval`.
        """
        with suppress(Py4JError, OSError, AttributeError, ValueError):
            for execution in self._queries(step):
                metrics = self._executions.executionMetrics(execution.executionId())
                # Adaptive execution may replace the plan while the query runs, and with it the metric.
                if self._metric is None or not metrics.contains(self._metric):
                    self._metric = self._find_metric(execution.executionId())
                if self._metric is not None and metrics.contains(self._metric):
                    shown = _WHOLE.fullmatch(str(metrics.get(self._metric).get()))
                    return int(shown[0].replace(",", "")) if shown else 0
        return 0

    def partitions(self, step: str) -> Partitions | None:
        """Return the durations of the tasks of a step's last stage, after it has ended."""
        with suppress(Py4JError, OSError, AttributeError, ValueError):
            for execution in self._queries(step):
                stages = [int(stage) for stage in str(execution.stages().mkString(",")).split(",") if stage]
                if stages and (found := self._tasks_of(max(stages))) is not None:
                    return found
        return None

    def _queries(self, step: str) -> Iterator[Any]:
        """Return the newest queries of a step, newest first; a step is the job description up to a colon."""
        for number in self._newest():
            execution = self._executions.executionsList(number, 1).apply(0)
            if execution.executionId() in self._begun_before:
                return
            if str(execution.description()).split(":", 1)[0] == step:
                yield execution

    def _newest(self) -> range:
        count = int(self._executions.executionsCount())
        return range(count - 1, max(-1, count - 1 - _NEWEST), -1)

    def _id(self, number: int) -> int:
        return int(self._executions.executionsList(number, 1).apply(0).executionId())

    def _find_metric(self, execution: int) -> int | None:
        nodes = self._executions.planGraph(execution).allNodes()
        for node in (nodes.apply(number) for number in range(nodes.size())):
            if node.name().strip() == _NODE:
                metrics = node.metrics()
                for metric in (metrics.apply(number) for number in range(metrics.size())):
                    if metric.name() == _METRIC:
                        return int(metric.accumulatorId())
        return None

    def _tasks_of(self, stage: int) -> Partitions | None:
        count = stage_task_count(self._spark, stage)
        if not count:
            return None
        [middle] = stage_tasks(self._spark, stage, first=count // 2, most=1, slowest_first=False)
        slowest = stage_tasks(self._spark, stage, first=0, most=_SHOWN_TASKS, slowest_first=True)
        times = (
            TaskTime(
                partition=task.partitionId(),
                host=str(task.host()),
                seconds=task.taskMetrics().get().executorRunTime() / 1000,
                rows=task.taskMetrics().get().outputMetrics().recordsWritten(),
            )
            for task in slowest
        )
        return Partitions(count, middle.taskMetrics().get().executorRunTime() / 1000, tuple(times))
