"""Progress of a run: from a scripted state with a fake clock, and from Spark itself."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812
from rich.console import Console

from grpc_client import ClientConfig
from qtr_runtime import logs
from qtr_runtime.log_writer import LogWriter
from spark_jobs.progress.display import ProgressBar, ProgressLog
from spark_jobs.progress.executor_wait import ExecutorWait
from spark_jobs.progress.rate import RateSnapshot
from spark_jobs.progress.spark_status import SparkStatus, Tasks
from spark_jobs.progress.task_metrics import TaskTotals
from spark_jobs.progress.tracker import Progress, StepMonitor
from spark_jobs.scoring.api import score_pairs
from spark_jobs.spark_compat import map_in_arrow


class Scripted:
    """A status, a display and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done = Tasks()
        self.rows = 0
        self.totals = TaskTotals()
        self.shown: list[tuple[str, Tasks, RateSnapshot | None, TaskTotals]] = []
        self.executor_wait = ExecutorWait(600.0, lambda: self.now)
        self.watch = StepMonitor(self, lambda: self.totals, self, self.executor_wait, lambda: self.now)

    def tasks(self) -> Tasks:
        return self.done

    def rows_scored(self, step: str) -> int:
        assert step == "score"
        return self.rows

    def show(self, step: str, tasks: Tasks, snapshot: RateSnapshot | None, totals: TaskTotals) -> None:
        self.shown.append((step, tasks, snapshot, totals))

    def close(self) -> None:
        raise AssertionError


def test_a_run_fails_once_its_tasks_waited_too_long_for_a_first_executor() -> None:
    state = Scripted()
    state.watch.begin("read")
    failures = []
    for now, tasks in (
        (0.0, Tasks(0, 0, 0)),  # nothing to run yet
        (500.0, Tasks(0, 8, 0)),
        (700.0, Tasks()),  # Spark did not answer
        (1099.0, Tasks(0, 8, 0)),
        (1099.5, Tasks(1, 8, 1)),
        (1100.0, Tasks(1, 8, 0)),
        (1699.0, Tasks(1, 8, 0)),
        (1700.0, Tasks(1, 8, 0)),
    ):
        state.now, state.done = now, tasks
        state.watch.look()
        failures.append(state.executor_wait.failure())
    assert failures[:-1] == [None] * 7
    assert str(failures[-1]).startswith("no executor has registered for 600 s (--executor-timeout-seconds): ")


def test_nothing_is_shown_between_steps() -> None:
    state = Scripted()
    state.watch.look()
    state.watch.begin("read")
    state.watch.end()
    state.watch.look()
    assert [(step, snapshot) for step, _, snapshot, _ in state.shown] == [("read", None)]


def test_the_total_is_what_the_ended_tasks_say() -> None:
    state = Scripted()
    state.watch.begin("score")
    state.now, state.done, state.rows = 2.0, Tasks(0, 8), 300
    state.watch.look()
    state.now, state.done, state.rows, state.totals = 4.0, Tasks(2, 8), 700, TaskTotals(2, 500, 1, 3)
    state.watch.look()
    state.now, state.done, state.rows = 6.0, Tasks(0, 0), 1500
    state.watch.look()
    state.now, state.totals = 10.0, TaskTotals(8, 2010, 1, 3)
    state.watch.end()
    first, second, third, last = (snapshot for _, _, snapshot, _ in state.shown)
    assert third is not None
    assert (third.rows, third.total) == (1500, 2000)
    assert first == RateSnapshot(300, None, 150.0, None)
    assert second is not None
    assert (second.rows, second.total) == (700, 2000)
    assert (second.rows_per_second, second.eta_seconds) == pytest.approx((175.0, 1300 / 175))
    assert (last.rows, last.total) == (2010, 2010) if last else False
    assert [point.seconds for point in state.watch.throughput()] == [2.0, 4.0, 6.0, 10.0]


@pytest.fixture
def event_log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("spark_jobs")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_events_are_seconds_apart_and_the_last_one_always_comes(event_log: io.StringIO) -> None:
    state = Scripted()
    events = ProgressLog(lambda: state.now)
    for state.now in (1.0, 4.9, 5.0, 7.0, 10.0):
        events.show("read", Tasks(1, 4), None, TaskTotals())
    assert event_log.getvalue().count("\n") == 2
    assert "waiting_for" not in event_log.getvalue()
    events.show("score", Tasks(4, 4), RateSnapshot(99, 99, 33.3, 0.0), TaskTotals(4, 99, 1, 2))
    state.now = 16.0
    events.show("join", Tasks(0, 4, executors=0), None, TaskTotals())
    *_, line, waiting = event_log.getvalue().splitlines()
    assert '"waiting_for": "executors"' in waiting
    for part in ('"step": "score"', '"rows_done": 99', '"rows_per_second": 33', '"in_flight": 2', '"retries": 1'):
        assert part in line


def test_the_live_line_goes_away_and_log_lines_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    logs.configure("text", "INFO")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, LogWriter)
    before = handler.stream
    line = ProgressBar(Console(force_terminal=True, width=120))
    try:
        line.show("score", Tasks(2, 8), RateSnapshot(700, 2000, 175.0, 7.4), TaskTotals(2, 500, 2, 3))
        logging.getLogger("spark_jobs").info("something happened")
    finally:
        line.close()
    assert handler.stream is before
    shown = capsys.readouterr().out
    assert "something happened" in shown
    assert "\x1b[?25h" in shown  # the cursor is back
    assert shown.rstrip().endswith("\x1b[2K")  # and the line is gone


def test_the_live_lines_words() -> None:
    out = io.StringIO()
    line = ProgressBar(Console(file=out, force_terminal=True, width=140))
    line.show("score", Tasks(2, 8), RateSnapshot(700, 2000, 175.0, 7.4), TaskTotals(2, 500, 2, 3))
    line.show("read", Tasks(0, 8, executors=0), None, TaskTotals())
    line.close()
    assert "waiting for executors · 0 of 8 tasks" in out.getvalue()
    assert "700 of 2,000 rows · 175/s · 7.4 s left · 3 in flight · 2 retries" in out.getvalue()


def test_steps_are_named_timed_and_add_up(spark: SparkSession) -> None:
    with Progress(spark, live=False) as progress:
        for _ in range(2):
            with progress.step("read", "the input"):
                assert spark.sparkContext.getLocalProperty("spark.job.description") == "read: the input"
        with pytest.raises(KeyError), progress.step("judge"):
            raise KeyError
    assert set(progress.seconds) == {"read", "judge"}
    assert not spark.sparkContext.getLocalProperty("spark.job.description")
    assert progress.total_seconds >= sum(progress.seconds.values())


def test_tasks_report_rows_and_the_limit(spark: SparkSession, config: ClientConfig, tmp_path: Path) -> None:
    pairs = spark.range(100).select(
        F.concat(F.lit("q"), "id").alias("query"), F.concat(F.lit("t"), "id").alias("title")
    )
    with Progress(spark, live=False) as progress:
        with progress.step("score", "some pairs"):
            score_pairs(pairs.repartition(3), config, counters=progress.counters).write.parquet(
                str(tmp_path / "scored")
            )
        totals, found = progress.counters.total.value, progress.partitions
    assert (totals.tasks, totals.rows) == (3, 100)
    assert totals.in_flight >= 1
    assert found is not None
    assert found.tasks == 3
    assert sum(task.rows for task in found.slowest) == 100
    assert [task.seconds for task in found.slowest] == sorted((task.seconds for task in found.slowest), reverse=True)
    assert sum(point.rows_per_second for point in progress.throughput()) > 0


def test_sparks_own_count_of_rows(spark: SparkSession, tmp_path: Path) -> None:
    def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    frame, status = spark.range(1234), SparkStatus(spark)
    spark.sparkContext.setJobDescription("score: a test")
    try:
        map_in_arrow(frame, same, frame.schema).write.parquet(str(tmp_path / "same"))
    finally:
        spark.sparkContext.setJobDescription("")
    assert status.rows_scored("score") == 1234
    assert SparkStatus(spark).rows_scored("score") == 0  # an earlier run of the session
    assert status.rows_scored("read") == 0
    assert status.partitions("nothing of this name") is None
