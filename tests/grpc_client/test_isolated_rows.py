"""Rows on which the server fails, against scripted servers that fail on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from grpc_client import (
    FAILED,
    ClientConfig,
    ModelRef,
    RelevanceClient,
    RetryPolicy,
    RowError,
    ServerFaultError,
)
from tests.support.client_scene import PAIRS, Scene, score_pairs
from tests.support.kept_alive import KeptAlive
from tests.support.scripted_server import ScriptedServer, score_of


@pytest.mark.parametrize("status", ["INTERNAL", "UNKNOWN"])
def test_a_fault_of_the_moment_costs_nothing_but_two_halves(scene: Scene, status: str) -> None:
    server, client = scene([{"status": status}])
    assert score_pairs(client) == [score_of(*pair) for pair in PAIRS]
    assert sorted(call["rows"] for call in server.finished_calls()) == [1, 2, 3]


@pytest.mark.parametrize("poisoned", [{0}, {7}, {3, 4}, {0, 5, 14}])
def test_rows_on_which_the_server_fails_are_found_and_only_they_fail(scene: Scene, poisoned: set[int]) -> None:
    titles = [f"t{row % 9}" if row not in poisoned else f"poison {row}" for row in range(15)]
    server, client = scene(server={"poison": {f"poison {row}": "INTERNAL" for row in poisoned}})
    distinct = sorted(set(titles))
    answer = client.score_batch(["q"], distinct, [0] * 15, [distinct.index(title) for title in titles])
    assert set(answer.errors) == poisoned
    for row, title in enumerate(titles):
        if row in poisoned:
            assert answer.errors[row] == RowError(FAILED, "the server fails on this row alone: INTERNAL")
        else:
            assert answer.scores[row] == score_of("q", title)
    assert (client.stats().rows, client.stats().failed_rows) == (15, len(poisoned))
    assert answer.model == ModelRef("scripted", "1")
    assert len(server.finished_calls()) <= 2 * 4 * len(poisoned) + 2 * len(poisoned) + 1


def test_a_batch_of_nothing_but_poison_has_no_model(scene: Scene) -> None:
    _, client = scene(server={"poison": {"p": "UNKNOWN"}})
    answer = client.score_batch(["a", "b"], ["p", "p"])
    assert (answer.model, set(answer.errors)) == (None, {0, 1})


@pytest.mark.parametrize(("ratio", "allowed"), [(0.0, 0), (0.01, 100), (0.6, 100)])
def test_too_many_failed_rows_end_it(scene: Scene, ratio: float, allowed: int) -> None:
    _, client = scene(server={"poison": {"p": "INTERNAL"}}, max_failed_ratio=ratio)
    good = 60 if ratio == 0.6 else 0
    if good:
        client.score_batch(["q"] * good, ["t"] * good)
    with pytest.raises(
        ServerFaultError, match=rf"failed on {allowed + 1} of {good + allowed + 1} rows, more than the .*% allowed"
    ):
        for _ in range(allowed + 1):
            client.score_batch(["q"], ["p"])
    assert client.stats().failed_rows == allowed + 1


def test_a_row_that_kills_the_server_is_found_among_innocent_ones(scene: Scene) -> None:
    del scene
    with KeptAlive(lambda port: ScriptedServer(port=port, poison={"deadly": "DIE"})) as server:
        config = ClientConfig(
            server.address, retry=RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.05, max_backoff_seconds=0.2)
        )
        titles = [f"t{row}" if row != 5 else "deadly" for row in range(12)]
        innocent = [f"t{row}" for row in range(12)]
        with RelevanceClient(config) as client, ThreadPoolExecutor(4) as pool:
            batches = [
                pool.submit(client.score_batch, ["q"] * 12, each) for each in [innocent, titles, innocent, innocent]
            ]
            answers = [each.result() for each in batches]
            stats = client.stats()
    for answer, asked in zip(answers, [innocent, titles, innocent, innocent], strict=True):
        for row, title in enumerate(asked):
            if title == "deadly":
                reason = "the server's connection breaks whenever it has this row"
                assert answer.errors == {row: RowError(FAILED, reason)}
            else:
                assert answer.scores[row] == score_of("q", title)
    assert stats.failed_rows == 1
    assert server.starts <= 20  # at most: three by gRPC's own repetition, two whole, four halvings, three alone


def test_a_server_that_is_only_restarted_makes_no_row_fail(scene: Scene) -> None:
    del scene
    with KeptAlive(lambda port: ScriptedServer(port=port)) as server:
        config = ClientConfig(
            server.address, retry=RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.05, max_backoff_seconds=0.2)
        )
        with RelevanceClient(config) as client:
            for number in range(1, 6):
                score_pairs(client)
                server.kill()
                assert score_pairs(client) == [score_of(*pair) for pair in PAIRS]
                server.wait_for_start(number + 1)
            assert client.stats().failed_rows == 0


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_a_batch_that_is_too_large_is_halved(scene: Scene, rows: int) -> None:
    server, client = scene(server={"too_large_above": 2})
    queries, titles = [f"q{row % 3}" for row in range(rows)], [f"t{row % 4}" for row in range(rows)]
    queries[-1] = ""
    expected = [score_of(*pair) for pair in zip(queries, titles, strict=True)]
    for answer in (
        client.score_batch(queries, titles),
        client.score_batch(
            ["q0", "q1", "q2", ""],
            ["t0", "t1", "t2", "t3"],
            [*(row % 3 for row in range(rows - 1)), 3],
            [row % 4 for row in range(rows)],
        ),
    ):
        assert list(answer.scores)[:-1] == expected[:-1]
        assert list(answer.errors) == [rows - 1]
    sizes = [call["rows"] for call in server.finished_calls() if call["method"] == "ScoreBatch"]
    assert max(sizes) == rows
    assert sum(size for size in sizes if size <= 2) == 2 * rows


def test_a_single_row_that_is_too_large_fails_alone(scene: Scene) -> None:
    _, client = scene(server={"too_large_above": 0})
    answer = client.score_batch(["a"], ["b"])
    assert answer.errors == {0: RowError(FAILED, "the row alone is larger than a message may be")}
