"""Scoring of Spark data by the service: one core function, and one function each for DataFrames and RDDs.

`score_pairs` takes DataFrames (Arrow), `score_rows` RDDs (pickle: up to twice the CPU that Spark and Python take per
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

_CHUNK_ROWS = 8192


class Counters(Protocol):
    """Counts what the tasks do; sent to the executors with them."""

    def add(self, *, rows: int, retries: int, in_flight: int) -> None:
        """Add one task: its rows, its retries, and its concurrency limit when it ended."""
        ...


def score_record_batches(
    batches: Iterable[pa.RecordBatch],
    config: ClientConfig,
    *,
    query_column: str = "query",
    title_column: str = "title",
    keep: Sequence[str] | None = None,
    counters: Counters | None = None,
) -> Iterator[pa.RecordBatch]:
    """Score Arrow batches with a bounded number of calls in flight.

    Each batch is cut into calls by rows and bytes. The window of calls spans batches, so that the server is not idle
    between them. The order of batches, and of the rows in them, is kept.

    Parameters
    ----------
    batches
        Batches with two string columns, and any others.
    config
        Configuration of the client.
    query_column, title_column
        Names of the two columns.
    keep
        Names of the columns that are passed through; all if absent.
    counters
        Called once, at the end.

    Yields
    ------
    pyarrow.RecordBatch
        The kept columns of the batch, then those of `spark_jobs.scoring.schema.RESULT_ARROW`, row by row. A row without
        a score has a status and a row error; it does not end the iteration.

    Raises
    ------
    grpc_client.ClientError
        If a call as a whole failed and its retries were used up.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from grpc_client import ClientConfig
    >>> batch = pa.RecordBatch.from_pydict({"query": ["kettle"], "title": ["electric kettle 1.7 l"]})
    >>> scored = score_record_batches([batch], ClientConfig("localhost:8001"))
    >>> next(scored).column("label")[0]  # doctest: +SKIP
    <pyarrow.StringScalar: 'relevant'>
    """
    stop = threading.Event()
    rows = 0
    with shared_client(config) as client:
        before = client.stats()
        calls = _calls(batches, client, config, (query_column, title_column), stop)
        window = ordered_window(calls, config.in_flight, stop)
        try:
            for pending, scores in window:
                if scores is not None:
                    pending.add(scores, client.model_named(scores.model) if scores.model else pending.info)
                if pending.complete:
                    rows += pending.batch.num_rows
                    yield pending.result(keep)
        finally:
            window.close()
            if counters is not None:
                now = client.stats()
                counters.add(rows=rows, retries=now.retries - before.retries, in_flight=now.in_flight)


def _calls(
    batches: Iterable[pa.RecordBatch],
    client: RelevanceClient,
    config: ClientConfig,
    columns: tuple[str, str],
    stop: threading.Event,
) -> Iterator[Callable[[], tuple[PendingBatch, BatchScores | None]]]:
    info: ModelInfo | None = None
    for batch in batches:
        # Only once there is a row to score: an empty partition needs no server.
        info = info if info is not None else _pinned(client.model(), config)
        max_rows = min(config.max_rows_per_rpc, info.limits.max_rows)
        pending = PendingBatch(batch, *columns, max_rows=max_rows, max_bytes=config.max_bytes_per_rpc, info=info)
        for rows in pending.slices:
            yield partial(_score_slice, client, pending, rows, stop)
        if not pending.slices:
            # A batch of which no row can be sent takes a place in the window too: otherwise such batches pile up.
            yield partial(_nothing_to_score, pending)


def _pinned(info: ModelInfo, config: ClientConfig) -> ModelInfo:
    """Return `info` with the limit on texts that the whole run uses, whichever server answered."""
    if config.max_text_bytes is None:
        return info
    return replace(info, limits=replace(info.limits, max_text_bytes=config.max_text_bytes))


def _score_slice(
    client: RelevanceClient, pending: PendingBatch, rows: RpcSlice, stop: threading.Event
) -> tuple[PendingBatch, BatchScores | None]:
    queries, titles, query_index, title_index = rows.columns()
    return pending, client.score_batch(queries, titles, query_index, title_index, stop=stop)


def _nothing_to_score(pending: PendingBatch) -> tuple[PendingBatch, BatchScores | None]:
    return pending, None


def score_pairs(
    df: DataFrame,
    config: ClientConfig,
    *,
    query_column: str = "query",
    title_column: str = "title",
    keep: Sequence[str] | None = None,
    counters: Counters | None = None,
) -> DataFrame:
    """Append score, label and status to a DataFrame of pairs.

    Parameters
    ----------
    df
        Two string columns, and any others.
    config
        Configuration of the client; sent to the executors.
    query_column, title_column
        Names of the two columns.
    keep
        Names of the columns that are passed through; all if absent. Fewer columns cost less.
    counters
        Called once by each task; tasks that Spark repeats count again.

    Returns
    -------
    DataFrame
        The kept columns of `df`, then those of `spark_jobs.scoring.schema.RESULT_SPARK`. It is lazy: every action calls
        the service again, so write the result once if it is used twice.

    Examples
    --------
    >>> from grpc_client import ClientConfig
    >>> df = spark.read.parquet("pairs/")  # doctest: +SKIP
    >>> scored = score_pairs(df, ClientConfig("dns:///relevance:8001"), keep=["id"])  # doctest: +SKIP
    >>> scored.where("status = 'OK'").write.parquet("scored/")  # doctest: +SKIP
    """
    kept = df.schema.fields if keep is None else [df.schema[name] for name in keep]
    score = partial(
        score_record_batches,
        config=config,
        query_column=query_column,
        title_column=title_column,
        keep=keep,
        counters=counters,
    )
    return map_in_arrow(df, score, StructType([*kept, *RESULT_SPARK.fields]))


def score_rows(config: ClientConfig) -> Callable[[Iterable[object]], Iterator[ScoredPair]]:
    """Return the function for `rdd.mapPartitions` over `(query, title)` tuples.

    Each row becomes one `ScoredPair`, in order. A row that is `None`, has not two fields or a field that is no text
    keeps its place and has a row error.

    Examples
    --------
    >>> from grpc_client import ClientConfig
    >>> pairs = spark.sparkContext.parallelize([("kettle", "electric kettle 1.7 l")])  # doctest: +SKIP
    >>> pairs.mapPartitions(score_rows(ClientConfig("localhost:8001"))).first().label  # doctest: +SKIP
    'relevant'
    """
    return partial(_score_partition, config=config)


def _score_partition(rows: Iterable[object], config: ClientConfig) -> Iterator[ScoredPair]:
    source = iter(rows)
    chunks: deque[list[tuple[object, object]]] = deque()

    def batches() -> Iterator[pa.RecordBatch]:
        while chunk := [_pair(row) for row in islice(source, _CHUNK_ROWS)]:
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
        # "surrogatepass" encodes a lone surrogate as bytes that are not UTF-8, which becomes a row error.
        encoded = [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None for text in values]
        return pa.array(encoded, pa.binary()).view(pa.string())
