"""The scoring core: places kept, batches cut, and the same answers by every way in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from grpc_client import ClientConfig, ResponseMismatchError, shared_client
from spark_jobs import score_pairs, score_record_batches, score_rows
from spark_jobs.scoring.schema import RESULT_ARROW, RESULT_SPARK
from tests.spark_jobs.conftest import text_column
from tests.support.scripted_server import ScriptedServer, score_of

Pair = tuple[str | None, str | None]

HOSTILE: list[tuple[Pair, str | None]] = [
    (("usb cable", "usb c cable"), None),
    ((None, "kettle"), "query is null"),
    (("kettle", None), "title is null"),
    ((None, None), "query is null; title is null"),
    (("", "kettle"), "query is empty"),
    (("kettle", " \t\n"), "title is empty"),
    (("usb cable", "usb c cable"), None),
    (("a\ud800b", "kettle"), "query is not valid UTF-8"),
    (("kettle", "\udfff"), "title is not valid UTF-8"),
    (("سماعات", "سماعات لاسلكية \u202eabc"), None),
    (("🎧", "👩‍👩‍👧 headphones 🎧"), None),
    (("\x00\x07\x1b[31m", "\x7f"), None),
    (("x" * 100_000, "kettle"), "query has 100000 bytes, the limit is 8192"),
    (("kettle", "é" * 4097), "title has 8194 bytes, the limit is 8192"),
    (("kettle", "é" * 4096), None),
    (("usb cable", "usb c cable"), None),
]


def batch(pairs: list[Pair], **more: Any) -> pa.RecordBatch:
    columns = {"query": text_column([q for q, _ in pairs]), "title": text_column([t for _, t in pairs]), **more}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def check_row(pair: Pair, row: dict[str, Any], reason: str | None) -> None:
    query, title = pair
    if reason is None:
        assert query is not None
        assert title is not None
        score = score_of(query, title)
        assert (row["score"], row["status"], row["error"]) == (score, "OK", None)
        assert row["label"] == ("relevant" if score >= 0.5 else "irrelevant")
    else:
        assert (row["score"], row["label"]) == (None, None)
        assert (row["status"], row["error"]) == ("INVALID_ARGUMENT", reason)
    assert (row["model_name"], row["model_version"]) == ("scripted", "1")
    assert row["scored_at"] is not None


def results(scored: pa.RecordBatch) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = scored.select(RESULT_ARROW.names).to_pylist()
    return rows


def test_hostile_rows_keep_their_place_among_good_ones(config: ClientConfig) -> None:
    pairs = [pair for pair, _ in HOSTILE]
    numbers = pa.array(range(len(pairs)))
    (scored,) = score_record_batches(iter([batch(pairs, id=numbers)]), config)
    assert scored.schema.names == ["query", "title", "id", *RESULT_ARROW.names]
    assert scored.schema.types[3:] == RESULT_ARROW.types
    assert scored.column("id") == numbers
    for (pair, reason), row in zip(HOSTILE, results(scored), strict=True):
        check_row(pair, row, reason)


def test_only_what_is_kept_comes_back(config: ClientConfig) -> None:
    pairs: list[Pair] = [("red", "red hat"), ("blue", "boots")]
    numbers = pa.array([7, 8])
    (scored,) = score_record_batches(iter([batch(pairs, id=numbers)]), config, keep=["id"])
    assert scored.schema.names == ["id", *RESULT_ARROW.names]
    assert scored.column("id") == numbers
    for pair, row in zip(pairs, results(scored), strict=True):
        check_row(pair, row, None)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 14, 15])
def test_every_batch_size_around_the_call_size(config: ClientConfig, rows: int) -> None:
    pairs: list[Pair] = [(f"q{row % 3}", f"title {row}") for row in range(rows)]
    (scored,) = score_record_batches(iter([batch(pairs)]), config)
    assert scored.schema.types[2:] == RESULT_ARROW.types
    for pair, row in zip(pairs, results(scored), strict=True):
        check_row(pair, row, None)


texts = (
    st.none() | st.text(alphabet=st.characters(exclude_categories=[]), max_size=12) | st.sampled_from(["a", "b", " "])
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(texts, texts), max_size=20), max_size=4), st.integers(1, 9), st.integers(1, 40))
def test_any_batches_come_back_in_order(
    config: ClientConfig, batches: list[list[Pair]], max_rows: int, max_bytes: int
) -> None:
    narrow = replace(config, max_rows_per_rpc=max_rows, max_bytes_per_rpc=max_bytes)
    scored = list(score_record_batches((batch(pairs) for pairs in batches), narrow))
    assert [one.num_rows for one in scored] == [len(pairs) for pairs in batches]
    for pairs, one in zip(batches, scored, strict=True):
        for (query, title), row in zip(pairs, results(one), strict=True):
            if row["status"] == "OK":
                check_row((query, title), row, None)
            else:
                assert row["error"]
                assert not _servable(query) or not _servable(title)


def _servable(text: str | None) -> bool:
    try:
        return text is not None and bool(text.strip()) and bool(text.encode())
    except UnicodeEncodeError:
        return False


def test_calls_are_cut_by_rows_and_bytes_and_fold_repeated_texts(config: ClientConfig) -> None:
    with ScriptedServer() as server:
        narrow = replace(config, target=server.address, max_rows_per_rpc=10, max_bytes_per_rpc=200)
        pairs: list[Pair] = [("query", f"{'long' * 10} title {row}") for row in range(10)]
        pairs += [("q", "t")] * 10
        list(score_record_batches(iter([batch(pairs)]), narrow))
        calls = [call for call in server.finished_calls() if call["method"] == "ScoreBatch"]
    assert sum(call["rows"] for call in calls) == 20
    assert max(call["rows"] for call in calls) <= 10
    assert any(call["rows"] == 10 and call["texts"] == [1, 1] for call in calls)
    assert all(call["texts"][0] == 1 for call in calls)
    assert len(calls) >= 4


def test_the_servers_own_row_limit_is_respected(config: ClientConfig) -> None:
    with ScriptedServer(limit_rows=3) as server:
        pairs: list[Pair] = [(f"q{row}", "t") for row in range(10)]
        list(score_record_batches(iter([batch(pairs)]), replace(config, target=server.address)))
        calls = [call for call in server.finished_calls() if call["method"] == "ScoreBatch"]
    assert sorted(call["rows"] for call in calls) == [1, 3, 3, 3]


@pytest.mark.parametrize("pair", [(None, "t"), ("q", "t")])
def test_no_more_is_read_ahead_than_the_window_holds_whatever_the_rows(config: ClientConfig, pair: Pair) -> None:
    taken = 0

    def many() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield batch([pair] * 3)

    ahead = []
    for number, scored in enumerate(score_record_batches(many(), config), 1):
        assert scored.num_rows == 3
        ahead.append(taken - number)
    assert len(ahead) == 200
    assert max(ahead) <= 4 * config.in_flight


def test_counters_are_called_once_at_the_end(config: ClientConfig) -> None:
    told: list[dict[str, int]] = []

    class Notes:
        def add(self, **counts: int) -> None:
            told.append(counts)

    pairs: list[Pair] = [(f"q{row}", "t") for row in range(20)]
    list(score_record_batches(iter([batch(pairs), batch([(None, "t")])]), config, counters=Notes()))
    [counts] = told
    assert (counts["rows"], counts["retries"]) == (21, 0)
    assert counts["in_flight"] >= 1


def test_no_rows_need_no_server() -> None:
    unreachable = ClientConfig("127.0.0.1:1")
    assert list(score_record_batches(iter([]), unreachable)) == []


def test_a_label_that_the_model_does_not_have_is_not_believed(config: ClientConfig) -> None:
    with shared_client(config) as client:
        info = client.model()
    from grpc_client import BatchScores
    from spark_jobs.scoring.pending_batch import PendingBatch

    pending = PendingBatch(batch([("a", "b")]), "query", "title", max_rows=1, max_bytes=1, info=info)
    with pytest.raises(ResponseMismatchError, match="has label 2, but scripted 1 has 2"):
        pending.add(BatchScores([0.5], [2], {}, info.ref), info)


def test_arrow_and_rdd_give_the_same_answers(spark: SparkSession, config: ClientConfig) -> None:
    pairs: list[Pair] = [(f"q{row % 13}", f"title {row}") for row in range(300)]
    pairs[5], pairs[77], pairs[200] = (None, "t"), ("q", ""), ("q", None)
    rows = [(number, *pair) for number, pair in enumerate(pairs)]
    frame = spark.createDataFrame(rows, "id long, q string, `the title` string").repartition(3)
    scored = score_pairs(frame, config, query_column="q", title_column="the title")
    assert scored.schema.names == ["id", "q", "the title", *RESULT_SPARK.names]
    by_arrow = {row.id: tuple(row[3:9]) for row in scored.collect()}

    by_rdd = spark.sparkContext.parallelize(pairs, 3).mapPartitions(score_rows(config)).collect()
    assert [(row.query, row.title) for row in by_rdd] == pairs
    assert [tuple(row[2:8]) for row in by_rdd] == [by_arrow[number] for number in range(300)]
    for pair, row in zip(pairs, by_rdd, strict=True):
        reason = {5: "query is null", 77: "title is empty", 200: "title is null"}.get(pairs.index(pair))
        check_row(pair, row._asdict(), reason)


def test_rdd_rows_that_are_no_pairs_keep_their_place(spark: SparkSession, config: ClientConfig) -> None:
    rows: list[Any] = [("a", "b"), None, ("a", 5), "text", ("a",), ("a\ud800", "b"), ["a", "b"]]
    scored = spark.sparkContext.parallelize(rows, 1).mapPartitions(score_rows(config)).collect()
    assert [row.error for row in scored] == [
        None,
        "query is null; title is null",
        "title is null",
        "query is null; title is null",
        "query is null; title is null",
        "query is not valid UTF-8",
        None,
    ]
    assert [row.query for row in scored] == ["a", None, "a", None, None, "a\ud800", "a"]
    assert scored[0].score == scored[6].score == score_of("a", "b")


def test_empty_partitions_and_many_chunks_of_an_rdd(config: ClientConfig) -> None:
    score = score_rows(config)
    assert list(score([])) == []

    def many() -> Iterator[Pair]:
        for row in range(8192 + 5):
            yield f"q{row % 2}", f"t{row % 50}"

    wide = score_rows(replace(config, max_rows_per_rpc=4096))
    scored = list(wide(many()))
    assert [(row.query, row.title) for row in scored] == list(many())
    assert all(math.isclose(row.score or 0, score_of(f"q{n % 2}", f"t{n % 50}")) for n, row in enumerate(scored))
