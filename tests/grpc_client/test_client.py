"""The methods of the client, against scripted servers and a real one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from grpc_client import (
    ClientClosedError,
    ClientConfig,
    MessageTooLargeError,
    ModelRef,
    RelevanceClient,
    RequestRejectedError,
    ResponseMismatchError,
)
from tests.support.client_scene import PAIRS, QUICK, Scene, score_pairs
from tests.support.scripted_server import score_of
from tests.support.server_process import ServerProcess


def test_batch_is_scored_row_by_row_and_by_index(scene: Scene) -> None:
    _, client = scene()
    expected = [score_of(*pair) for pair in PAIRS]
    assert score_pairs(client) == expected
    folded = client.score_batch(["usb cable", "kettle"], ["usb c cable 2 m", "hdmi cable"], [0, 0, 1], [0, 1, 0])
    assert list(folded.scores) == expected
    assert folded.model == ModelRef("scripted", "1")
    assert list(folded.labels) == [int(score >= 0.5) for score in expected]


def test_row_failures_are_reported_by_row(scene: Scene) -> None:
    _, client = scene()
    answer = client.score_batch(["a", " ", "b"], ["x", "y", ""])
    assert {row: (error.code, error.reason) for row, error in answer.errors.items()} == {
        1: ("INVALID_ARGUMENT", "query is empty"),
        2: ("INVALID_ARGUMENT", "title is empty"),
    }


def test_score_answers_every_title(scene: Scene) -> None:
    server, client = scene(priority="interactive")
    answer = client.score("kettle", ["kettle 2 l", ""])
    good, bad = answer.titles
    assert (good.title, good.score, good.error) == ("kettle 2 l", score_of("kettle", "kettle 2 l"), None)
    assert good.label in {"irrelevant", "relevant"}
    assert (bad.score, bad.label) == (None, None)
    assert bad.error is not None
    assert bad.error.reason == "title is empty"
    assert server.next_call("Score")["metadata"]["x-priority"] == "interactive"


def test_a_server_that_takes_fewer_rows_than_another_gets_halves(start_server: Callable[..., ServerProcess]) -> None:
    # As after a restart with other limits; the small message is refused once it is parsed, the large one before.
    server = start_server("--max-rows", "8")
    queries, titles = [f"query {row}" for row in range(20)], [f"title {row} " + "x" * 20_000 for row in range(20)]
    with RelevanceClient(ClientConfig(server.address, retry=QUICK)) as client:
        short = [title[:10] for title in titles]
        assert len(client.score_batch(queries, short).scores) == 20
        answer = client.score_batch(queries, titles)
    assert len(answer.scores) == 20
    assert all("bytes, the limit is 8192" in answer.errors[row].reason for row in range(20))


def test_closing_ends_a_call_that_runs_and_one_that_waits(scene: Scene) -> None:
    for script in ([{"delay_seconds": 60}], [{"status": "UNAVAILABLE", "pushback_ms": 50_000}] * 3):
        server, client = scene(script)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(score_pairs, client)
            server.next_call()
            client.close()
            with pytest.raises(ClientClosedError, match="its client or its window was closed"):
                running.result()


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"drop_scores": 1}, "answered 2 scores and 3 labels for 3 rows"),
        ({"score": 1.5}, "gave row 0 the score 1.5, expected 0 to 1"),
        ({"score": float("nan")}, "gave row 0 the score nan"),
        ({"model": {"name": "other", "version": "9"}}, "answered by model other 9, expected scripted 1"),
        (
            {"model": {"name": "scripted", "version": "1", "sha256": "cd"}},
            "answered by model scripted 1 of other contents, expected scripted 1",
        ),
    ],
)
def test_an_impossible_answer_is_not_believed(scene: Scene, step: dict[str, Any], sentence: str) -> None:
    contents = "ab" if "sha256" in step.get("model", {}) else ""
    _, client = scene([step], model=ModelRef("scripted", "1", contents))
    with pytest.raises(ResponseMismatchError, match=sentence):
        score_pairs(client)


def test_score_checks_the_number_of_answers(scene: Scene) -> None:
    _, client = scene([{"drop_scores": 1}])
    with pytest.raises(ResponseMismatchError, match="answered 1 titles where 2 were asked"):
        client.score("a", ["b", "c"])


def test_the_pinned_model_travels_with_the_request(scene: Scene) -> None:
    server, client = scene(model=ModelRef("scripted", "1"))
    score_pairs(client)
    assert server.next_call()["model"] == "scripted 1"


def test_a_model_that_changed_is_asked_for_again(scene: Scene) -> None:
    server, client = scene()
    first = client.model_named(ModelRef("scripted", "1"))
    assert client.model_named(ModelRef("scripted", "1")) is first
    with pytest.raises(ResponseMismatchError, match="serve different models: scripted 2 and scripted 1"):
        client.model_named(ModelRef("scripted", "2"))
    assert [call["method"] for call in server.finished_calls()] == ["GetModel", "GetModel"]


def test_a_closed_client_refuses(scene: Scene) -> None:
    _, client = scene()
    client.close()
    with pytest.raises(ClientClosedError):
        client.model()


def test_calls_go_to_every_address_of_the_target(scene: Scene) -> None:
    one, _ = scene()
    two, _ = scene()
    with RelevanceClient(ClientConfig(f"ipv4:{one.address},{two.address}", retry=QUICK)) as client:
        # Until the second connection stands all calls take the first; a few later they alternate.
        seen: set[int] = set()
        for _ in range(2000):
            score_pairs(client)
            seen = {index for index, server in enumerate((one, two)) if not server._calls.empty()}
            if len(seen) == 2:
                break
    assert seen == {0, 1}


def test_the_real_server_agrees_with_the_contract(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("--max-rows", "4")
    with RelevanceClient(ClientConfig(server.address)) as client:
        info = client.model()
        assert info.limits.max_rows == 4
        assert len(info.labels) >= 2
        answer = client.score_batch(["usb cable", "kettle", ""], ["usb c cable", "usb c cable", "x"])
        assert answer.model == info.ref
        assert list(answer.errors) == [2]
        assert answer.errors[2].code == "INVALID_ARGUMENT"
        alone = client.score("usb cable", ["usb c cable"])
        assert alone.titles[0].score == pytest.approx(answer.scores[0], abs=1e-5)
        # More rows than the server takes are sent in halves.
        assert len(client.score_batch(["a"] * 5, ["b"] * 5).scores) == 5
        with pytest.raises(MessageTooLargeError, match="the limit is 4 a request"):
            client.score("a", ["b"] * 5)
        with pytest.raises(RequestRejectedError, match="NOT_FOUND"):
            RelevanceClient(replace(client.config, model=ModelRef("no such", "1"))).score_batch(["a"], ["b"])


def test_a_refusal_by_a_lower_limit_than_promised_is_no_word_of_the_models(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("--max-text-bytes", "200")
    titles = ["kettle", "é" * 101, "\u200b", "é" * 100]
    found = []
    for promised in (None, 200, 8192):
        with RelevanceClient(ClientConfig(server.address, max_text_bytes=promised)) as client:
            # Twice: by index, and row by row.
            for index in ([0, 1, 2, 3], []):
                queries = ["kettle"] if index else ["kettle"] * 4
                answer = client.score_batch(queries, titles, [0] * len(index), index)
                found.append({row: error.code for row, error in answer.errors.items()})
            assert client.stats().failed_rows == (2 if promised == 8192 else 0)
            assert client.stats().rows == 8
    own = {1: "INVALID_ARGUMENT", 2: "INVALID_ARGUMENT"}
    assert found == [own] * 4 + [{1: "FAILED", 2: "INVALID_ARGUMENT"}] * 2
    assert answer.errors[1].reason == "this server takes texts of 200 bytes, others of the same target 8192"


def test_a_text_that_cannot_be_sent_is_one_sentence() -> None:
    with RelevanceClient(ClientConfig("127.0.0.1:1")) as client:
        with pytest.raises(RequestRejectedError, match="not valid UTF-8"):
            client.score("a", ["x\ud83d"])
        with pytest.raises(RequestRejectedError, match="not valid UTF-8"):
            client.score_batch(["x\ud83d"], ["a"])
