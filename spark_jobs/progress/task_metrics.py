"""Counters that tasks send to the driver when they end. For display only: a repeated task counts twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pyspark import SparkContext
from pyspark.accumulators import Accumulator, AccumulatorParam


class TaskTotals(NamedTuple):
    """Sums over ended tasks.

    Attributes
    ----------
    tasks, rows, retries
        Number of ended tasks, their rows and their retried calls.
    in_flight
        The concurrency limit of the task that ended last; 0 before there is one.
    """

    tasks: int = 0
    rows: int = 0
    retries: int = 0
    in_flight: int = 0


class _Sum(AccumulatorParam[TaskTotals]):
    def zero(self, value: TaskTotals) -> TaskTotals:  # noqa: ARG002
        return TaskTotals()

    def addInPlace(self, value1: TaskTotals, value2: TaskTotals) -> TaskTotals:  # noqa: N802
        tasks, rows, retries = (value1[field] + value2[field] for field in range(3))
        return TaskTotals(tasks, rows, retries, value2.in_flight or value1.in_flight)


@dataclass(frozen=True)
class TaskCounters:
    """The `spark_jobs.scoring.api.Counters` of a run; travels to the executors.

    Attributes
    ----------
    total
        The sums, on the driver.
    """

    total: Accumulator[TaskTotals]

    @classmethod
    def of(cls, context: SparkContext) -> TaskCounters:
        """Return counters that start at zero."""
        return cls(context.accumulator(TaskTotals(), _Sum()))

    def add(self, *, rows: int, retries: int, in_flight: int) -> None:
        """Add one task."""
        self.total.add(TaskTotals(1, rows, retries, in_flight))
