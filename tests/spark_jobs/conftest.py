"""One local Spark session for all tests of this folder, and small inputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from grpc_client import ClientConfig, RetryPolicy
from spark_jobs.label_pairs import main
from spark_jobs.lifecycle.environment import prepare_environment
from spark_jobs.lifecycle.session import job_settings, machine_settings, open_session
from tests.support.scripted_server import ScriptedServer, score_of

Text = str | bytes | None
REFUSING = {"status": "PERMISSION_DENIED"}
QUICK = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.01, max_backoff_seconds=0.05)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    warehouse = tmp_path_factory.mktemp("warehouse")
    small = {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2", "spark.sql.warehouse.dir": str(warehouse)}
    prepare_environment()
    builder = SparkSession.builder
    for name, value in (job_settings(64) | machine_settings(["unused"]) | small).items():
        builder.config(name, value)
    builder.getOrCreate()
    session = open_session(["unused"], arrow_batch_rows=64)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def scripted() -> Iterator[ScriptedServer]:
    """A server that behaves; its scores are `score_of`."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def config(scripted: ScriptedServer) -> ClientConfig:
    return ClientConfig(scripted.address, retry=QUICK, max_rows_per_rpc=7)


@pytest.fixture(autouse=True)
def own_log_handlers() -> Iterator[None]:
    """Put back the root logger's handlers, which a run replaces by its own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def text_column(texts: Sequence[Text]) -> pa.StringArray:
    """Make a string column that may hold bytes which are not UTF-8."""
    encoded = [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in texts]
    return pa.array(encoded, pa.binary()).view(pa.string())


def write_pairs(path: Path, pairs: Sequence[tuple[Text, Text]]) -> Path:
    """Write a Parquet file with `id`, `query` and `title`; the id is the row's number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "id": pa.array(range(len(pairs)), pa.int64()),
        "query": text_column([query for query, _ in pairs]),
        "title": text_column([title for _, title in pairs]),
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def label(tmp_path: Path) -> Callable[..., int]:
    """Run `qtr label` on a server of its own; returns how many pairs the server scored."""

    def run(
        pairs: list[tuple[Text, Text]],
        *flags: str,
        day: str = "01",
        status: int = 0,
        script: list[dict[str, Any]] | None = None,
        **settings: Any,
    ) -> int:
        file = write_pairs(tmp_path / f"input-{day}.parquet", pairs)
        common = ["--input", str(file), "--output", str(tmp_path / "out"), "--run-date", f"2026-11-{day}"]
        with ScriptedServer(script, **settings) as server:
            assert main([*common, "--target", server.address, "--log-format", "json", *flags]) == status
            calls = server.finished_calls()
        return sum(call["rows"] for call in calls if call["method"] == "ScoreBatch")

    return run


def pairs_of(count: int, first: int = 0) -> list[tuple[Text, Text]]:
    return [(f"query {row % 10}", f"title {row}") for row in range(first, first + count)]


def labels(output: Path, day: str = "01") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetDataset(output / "labels" / f"run_date=2026-11-{day}").read().to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def assert_right(rows: list[dict[str, Any]], pairs: list[tuple[Text, Text]]) -> None:
    """Each row once, with the score of its own pair."""
    assert [row["id"] for row in rows] == list(range(len(pairs)))
    for row, (query, title) in zip(rows, pairs, strict=True):
        assert (row["query"], row["title"]) == (query, title)
        assert row["score"] == score_of(str(query), str(title))


def run(*flags: str) -> int:
    """Run and give the exit status, whichever way the command ends."""
    try:
        return main(flags)
    except SystemExit as end:
        return int(end.code or 0)
