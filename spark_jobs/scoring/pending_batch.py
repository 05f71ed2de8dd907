"""One Arrow batch that is being scored: cut into calls, then put together again in its own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from grpc_client import BatchScores, ModelInfo, ResponseMismatchError
from spark_jobs.scoring.schema import INVALID_ARGUMENT, OK, RESULT_ARROW
from spark_jobs.scoring.validation import row_errors


@dataclass(frozen=True)
class RpcSlice:
    """The rows of one call, as slices of the sorted columns."""

    queries: pa.StringArray
    titles: pa.StringArray

    def columns(self) -> tuple[list[str], list[str], list[int], list[int]]:
        """Return queries, titles and their indexes as `RelevanceClient.score_batch` takes them."""
        queries, query_index = _dictionary_encoded(self.queries)
        titles, title_index = _dictionary_encoded(self.titles)
        return queries, titles, query_index, title_index


class PendingBatch:
    """An Arrow batch, the slices of it that are sent, and the scores received so far.

    Rows are sorted by title, then by query, in order of first appearance: a title's rows are sent in one call, in which
    its text is transferred and encoded once. Titles come first because they are longer and more numerous.

    Parameters
    ----------
    batch
        The batch.
    query, title
        Names of the two text columns.
    max_rows, max_bytes
        Limits of one call: rows, and UTF-8 bytes of text.
    info
        The served model, whose limit on texts decides which rows can be sent.

    Attributes
    ----------
    row_errors
        Errors of the rows that cannot be sent, by position in the batch.
    order
        Positions in the batch of the rows that are sent, in the order in which they are sent (int32).
    slices
        The rows of each call.
    """

    def __init__(
        self, batch: pa.RecordBatch, query: str, title: str, *, max_rows: int, max_bytes: int, info: ModelInfo
    ) -> None:
        self.batch = batch
        self.info = info
        queries, titles = _strings(batch.column(query)), _strings(batch.column(title))
        self.row_errors = row_errors(queries, titles, info.limits.max_text_bytes)
        self.order = _sorted_rows(queries, titles, self.row_errors)
        queries, titles = queries.take(self.order), titles.take(self.order)
        self.slices = [
            RpcSlice(queries.slice(start, length), titles.slice(start, length))
            for start, length in _cuts(queries, titles, max_rows, max_bytes)
        ]
        self._scores: list[tuple[BatchScores, ModelInfo]] = []
        self._scored_at: list[datetime] = []

    @property
    def complete(self) -> bool:
        """Whether the scores of every slice were added."""
        return len(self._scores) == len(self.slices)

    def add(self, scores: BatchScores, info: ModelInfo) -> None:
        """Add the scores of the next slice; `info` describes the model that returned them.

        Raises
        ------
        ResponseMismatchError
            If a label is not one of the model's.
        """
        if max(scores.labels, default=0) >= len(info.labels):
            raise ResponseMismatchError(
                f"an answer has label {max(scores.labels)}, but {info.ref} has {len(info.labels)}"
            )
        self._scores.append((scores, info))
        self._scored_at.append(datetime.now(UTC))

    def result(self, keep: Sequence[str] | None = None) -> pa.RecordBatch:
        """Return the columns of the batch named in `keep`, or all, with those of `RESULT_ARROW` appended."""
        columns: list[list[pa.Array]] = [[] for _ in RESULT_ARROW]
        for (scores, info), scored_at in zip(self._scores, self._scored_at, strict=True):
            for column, values in zip(columns, _result_columns(scores, info, scored_at), strict=True):
                column.append(values)
        names = RESULT_ARROW.names
        results = dict(
            zip(names, (_concat(c, f.type) for c, f in zip(columns, RESULT_ARROW, strict=True)), strict=True)
        )
        if self.batch.num_rows:
            # The place of each row in the sorted results; null, and so a null result, for a row that was not sent.
            where = pc.inverse_permutation(self.order, max_index=self.batch.num_rows - 1)
            results = {name: values.take(where) for name, values in results.items()}
        if self.row_errors:
            results |= self._with_row_errors(results)
        kept = self.batch if keep is None else self.batch.select(list(keep))
        return pa.RecordBatch.from_arrays([*kept.columns, *results.values()], names=[*kept.schema.names, *names])

    def _with_row_errors(self, results: dict[str, pa.Array]) -> dict[str, pa.Array]:
        errors = [self.row_errors.get(row) for row in range(self.batch.num_rows)]
        fill = {
            "model_name": self.info.ref.name,
            "model_version": self.info.ref.version,
            "status": INVALID_ARGUMENT,
            "scored_at": pa.scalar(datetime.now(UTC), RESULT_ARROW.field("scored_at").type),
        }
        filled = {name: pc.fill_null(results[name], value) for name, value in fill.items()}
        return filled | {"error": pc.coalesce(results["error"], pa.array(errors, pa.string()))}


def _result_columns(answer: BatchScores, info: ModelInfo, scored_at: datetime) -> Iterator[pa.Array]:
    """Yield the columns of `RESULT_ARROW` for one slice."""
    rows = len(answer.scores)
    scores: list[float | None] = list(answer.scores)
    labels: list[int | None] = list(answer.labels)
    statuses: pa.Array = pa.repeat(OK, rows)
    errors: pa.Array = pa.nulls(rows, pa.string())
    if answer.errors:
        for row in answer.errors:
            scores[row] = labels[row] = None
        found = [answer.errors.get(row) for row in range(rows)]
        statuses = pa.array([error.code if error else OK for error in found], pa.string())
        errors = pa.array([error.reason if error else None for error in found], pa.string())
    yield pa.array(scores, pa.float32())
    yield pa.array(info.labels, pa.string()).take(pa.array(labels, pa.uint32()))
    yield pa.repeat(info.ref.name, rows)
    yield pa.repeat(info.ref.version, rows)
    yield statuses
    yield errors
    yield pa.repeat(pa.scalar(scored_at, RESULT_ARROW.field("scored_at").type), rows)


def _strings(column: pa.Array) -> pa.StringArray:
    # large_string, if Spark is configured so.
    return column if column.type == pa.string() else column.cast(pa.string())


def _sorted_rows(queries: pa.StringArray, titles: pa.StringArray, errors: dict[int, str]) -> pa.Array:
    rows = pa.array([row for row in range(len(queries)) if row not in errors] if errors else range(len(queries)))
    rows = rows.cast(pa.int32())
    if errors:
        queries, titles = queries.take(rows), titles.take(rows)
    keys = pa.table({"title": titles.dictionary_encode().indices, "query": queries.dictionary_encode().indices})
    by = pc.sort_indices(keys, sort_keys=[("title", "ascending"), ("query", "ascending")])
    return rows.take(by)


def _cuts(queries: pa.StringArray, titles: pa.StringArray, max_rows: int, max_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (start, length) of each call: at most `max_rows`, and `max_bytes` of text unless it is a single row."""
    sizes = pc.add(pc.binary_length(queries), pc.binary_length(titles))
    stack = [(start, min(max_rows, len(sizes) - start)) for start in range(0, len(sizes), max_rows)][::-1]
    while stack:
        start, length = stack.pop()
        if length > 1 and pc.sum(sizes.slice(start, length)).as_py() > max_bytes:
            half = length // 2
            stack += [(start + half, length - half), (start, half)]
        else:
            yield start, length


def _dictionary_encoded(texts: pa.StringArray) -> tuple[list[str], list[int]]:
    encoded = texts.dictionary_encode()
    if len(encoded.dictionary) == len(texts):
        return texts.to_pylist(), []
    return encoded.dictionary.to_pylist(), encoded.indices.to_pylist()


def _concat(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], kind)
