"""A batch is cut into calls, and its results come back in its own order."""

from __future__ import annotations

import pyarrow as pa
import pytest

from grpc_client import BatchScores, ModelInfo, ModelRef, ResponseMismatchError
from grpc_client.results import Limits
from spark_jobs.scoring.pending_batch import PendingBatch
from spark_jobs.scoring.schema import RESULT_ARROW

INFO = ModelInfo(ModelRef("m", "1"), "", ("irrelevant", "relevant"), 0.5, Limits(1000, 20, 1 << 20, 1 << 20, 16, 40))
PAIRS = [("b", "title 2"), (None, "title 1"), ("a", "title 2"), ("b", "title 1"), ("b", "title 2"), ("a", "x" * 21)]


def pending(max_rows: int = 10, max_bytes: int = 1000) -> PendingBatch:
    batch = pa.RecordBatch.from_pydict(
        {"id": list(range(len(PAIRS))), "query": [query for query, _ in PAIRS], "title": [title for _, title in PAIRS]}
    )
    return PendingBatch(batch, "query", "title", max_rows=max_rows, max_bytes=max_bytes, info=INFO)


def test_rows_of_a_title_are_adjacent_and_rows_with_an_error_stay_behind() -> None:
    one = pending()
    assert one.row_errors == {1: "query is null", 5: "title has 21 bytes, the limit is 20"}
    assert one.order.to_pylist() == [0, 4, 2, 3]
    [rows] = one.slices
    assert rows.columns() == (["b", "a"], ["title 2", "title 1"], [0, 0, 1, 0], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("max_rows", "max_bytes", "sizes"), [(10, 1000, [4]), (3, 1000, [3, 1]), (10, 16, [2, 2]), (10, 1, [1, 1, 1, 1])]
)
def test_calls_are_cut_by_rows_and_bytes(max_rows: int, max_bytes: int, sizes: list[int]) -> None:
    assert [len(rows.queries) for rows in pending(max_rows, max_bytes).slices] == sizes


def test_results_are_in_the_order_of_the_batch() -> None:
    one = pending(max_rows=3)
    one.add(BatchScores([0.1, 0.2, 0.7], [0, 0, 1], {}, INFO.ref), INFO)
    assert not one.complete
    one.add(BatchScores([0.9], [1], {}, INFO.ref), INFO)
    assert one.complete
    result = one.result(["id"])
    assert result.schema.names == ["id", *RESULT_ARROW.names]
    assert result.column("score").to_pylist() == pytest.approx([0.1, None, 0.7, 0.9, 0.2, None])
    assert result.column("status").to_pylist() == ["OK", "INVALID_ARGUMENT", *["OK"] * 3, "INVALID_ARGUMENT"]
    assert result.column("error").to_pylist()[1] == "query is null"
    assert set(result.column("model_version").to_pylist()) == {"1"}


def test_a_label_that_the_model_does_not_have_is_an_error() -> None:
    with pytest.raises(ResponseMismatchError, match="has label 2, but m 1 has 2"):
        pending().add(BatchScores([0.5], [2], {}, INFO.ref), INFO)
