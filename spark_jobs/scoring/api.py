"""Scoring of Spark data by the service: one core function, and its two ways in.

`score_pairs` is for DataFrames (Arrow), `score_rows` for RDDs (pickle: up to twice Spark's and Python's own cost a
row). Both take a `ClientConfig`, never a client: each Python worker makes its own, once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from grpc_client import BatchScores, ClientConfig, ModelInfo, ordered_window, shared_client
from spark_jobs.scoring.pending_batch import PendingBatch, RpcSlice
from spark_jobs.scoring.schema import RESULT_ARROW, RESULT_SPARK, ScoredPair
from spark_jobs.spark_compat import map_in_arrow

if TYPE_CHECKING:
    from grpc_client import RelevanceClient

_ROWS_AT_A_TIME = 8192


class Meter(Protocol):
    """Counts what the tasks of a run do; sent to the executors with them."""

    def add(self, *, rows: int, retries: int, in_flight: int) -> None:
        """Take in one task: its rows and repetitions, and the in-flight limit that it ended with."""
        ...


def score_record_batches(
    batches: Iterable[pa.RecordBatch],
    config: ClientConfig,
    *,
    query_column: str = "query",
    title_column: str = "title",
    keep: Sequence[str] | None = None,
    meter: Meter | None = None,
) -> Iterator[pa.RecordBatch]:
    """Score Arrow batches, a bounded number of calls at a time.

    Each batch is cut into calls by rows and bytes; the window of running calls spans batches, so the server is not left
    idle at their borders. Batches come out in the order in which they went in, and so do the rows within.

    Parameters
    ----------
    batches
        Batches with two string columns, and any others.
    config
        Where and how to call.
    query_column, title_column
        Names of the two columns.
    keep
        Names of the columns that pass through; all if absent.
    meter
        Told once, at the end, what was done.

    Yields
    ------
    pyarrow.RecordBatch
        What is kept of the input batch, then the columns of `spark_jobs.scoring.schema.RESULT_ARROW`, row for row. A row that
        cannot be scored has a status and a reason; it never ends the iteration.

    Raises
    ------
    grpc_client.ClientError
        If a call as a whole failed for good.
    """
    stop = threading.Event()
    rows = 0
    with shared_client(config) as client:
        before = client.stats()
        calls = _calls(batches, client, config, (query_column, title_column), stop)
        window = ordered_window(calls, config.in_flight, stop)
        try:
            for sheet, answer in window:
                if answer is not None:
                    sheet.add(answer, client.model_named(answer.model) if answer.model else sheet.info)
                if sheet.complete:
                    rows += sheet.batch.num_rows
                    yield sheet.finished(keep)
        finally:
            window.close()
            if meter is not None:
                now = client.stats()
                meter.add(rows=rows, retries=now.retries - before.retries, in_flight=now.in_flight)


def _calls(
    batches: Iterable[pa.RecordBatch],
    client: RelevanceClient,
    config: ClientConfig,
    columns: tuple[str, str],
    stop: threading.Event,
) -> Iterator[Callable[[], tuple[PendingBatch, BatchScores | None]]]:
    info: ModelInfo | None = None
    for batch in batches:
        # Not asked for before there is a row to score: most empty partitions never need a server.
        info = info if info is not None else _pinned(client.model(), config)
        max_rows = min(config.max_rows_per_rpc, info.limits.max_rows)
        sheet = PendingBatch(batch, *columns, max_rows=max_rows, max_bytes=config.max_bytes_per_rpc, info=info)
        for part in sheet.parts:
            yield partial(_score_part, client, sheet, part, stop)
        if not sheet.parts:
            # A batch whose rows were all refused takes its place in the window too, or such batches would pile up.
            yield partial(_nothing_to_score, sheet)


def _pinned(info: ModelInfo, config: ClientConfig) -> ModelInfo:
    """Return `info` with the limit on texts that the whole run keeps to, whichever server was asked."""
    if config.max_text_bytes is None:
        return info
    return replace(info, limits=replace(info.limits, max_text_bytes=config.max_text_bytes))


def _score_part(
    client: RelevanceClient, sheet: PendingBatch, part: RpcSlice, stop: threading.Event
) -> tuple[PendingBatch, BatchScores | None]:
    queries, titles, query_index, title_index = part.columns()
    return sheet, client.score_batch(queries, titles, query_index, title_index, stop=stop)


def _nothing_to_score(sheet: PendingBatch) -> tuple[PendingBatch, BatchScores | None]:
    return sheet, None


def score_pairs(
    df: DataFrame,
    config: ClientConfig,
    *,
    query_column: str = "query",
    title_column: str = "title",
    keep: Sequence[str] | None = None,
    meter: Meter | None = None,
) -> DataFrame:
    """Append the service's answers to a DataFrame of pairs.

    Parameters
    ----------
    df
        Has two string columns, and any others.
    config
        Where and how to call; sent to the executors.
    query_column, title_column
        Names of the two columns.
    keep
        Names of the columns that pass through; all if absent. Less to carry is less to pay for.
    meter
        Told by each task what it did; tasks that Spark repeats count again.

    Returns
    -------
    DataFrame
        What is kept of `df`, with the columns of `spark_jobs.scoring.schema.RESULT_SPARK`. Lazy, as all DataFrames: every
        action calls the service again, so write the result once if it is used twice.
    """
    kept = df.schema.fields if keep is None else [df.schema[name] for name in keep]
    score = partial(
        score_record_batches,
        config=config,
        query_column=query_column,
        title_column=title_column,
        keep=keep,
        meter=meter,
    )
    return map_in_arrow(df, score, StructType([*kept, *RESULT_SPARK.fields]))


def score_rows(config: ClientConfig) -> Callable[[Iterable[object]], Iterator[ScoredPair]]:
    """Return the function for `rdd.mapPartitions` over `(query, title)` tuples.

    Each row gives one `ScoredPair`, in order. A row that is `None`, has not two fields or holds something other than
    text keeps its place and has a status.
    """
    return partial(_score_partition, config=config)


def _score_partition(rows: Iterable[object], config: ClientConfig) -> Iterator[ScoredPair]:
    source = iter(rows)
    chunks: deque[list[tuple[object, object]]] = deque()

    def batches() -> Iterator[pa.RecordBatch]:
        while chunk := [_pair(row) for row in islice(source, _ROWS_AT_A_TIME)]:
            chunks.append(chunk)
            columns = [_texts([pair[field] for pair in chunk]) for field in (0, 1)]
            yield pa.RecordBatch.from_arrays(columns, names=["query", "title"])

    for scored in score_record_batches(batches(), config):
        results = zip(*(scored.column(name).to_pylist() for name in RESULT_ARROW.names), strict=True)
        for (query, title), result in zip(chunks.popleft(), results, strict=True):
            yield ScoredPair(query, title, *result)


def _pair(row: object) -> tuple[object, object]:
    if isinstance(row, (tuple, list)) and len(row) == 2:
        return row[0], row[1]
    return None, None


def _texts(values: list[object]) -> pa.StringArray:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        # "surrogatepass" keeps a lone surrogate as bytes that are not UTF-8, which the check of the core then names.
        encoded = [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None for text in values]
        return pa.array(encoded, pa.binary()).view(pa.string())
