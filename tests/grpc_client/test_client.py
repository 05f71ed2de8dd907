"""The client against a real server that misbehaves by script."""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from grpc_client import (
    FAILED,
    ClientClosedError,
    ClientConfig,
    ClientError,
    ConfigError,
    ModelRef,
    RelevanceClient,
    RequestRejectedError,
    ResponseMismatchError,
    RetryPolicy,
    RowError,
    ServerFaultError,
    TargetUnavailableError,
)
from tests.support.kept_alive import KeptAlive
from tests.support.scripted_server import ScriptedServer, score_of
from tests.support.server_process import ServerProcess

QUICK = RetryPolicy(budget_seconds=600, initial_backoff_seconds=0.01, max_backoff_seconds=0.05)
PAIRS = [("usb cable", "usb c cable 2 m"), ("usb cable", "hdmi cable"), ("kettle", "usb c cable 2 m")]


class Scene:
    """Starts scripted servers and clients for them, and ends them with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(
        self, script: list[dict[str, Any]] | None = None, *, server: dict[str, Any] | None = None, **config: Any
    ) -> tuple[ScriptedServer, RelevanceClient]:
        process = self._stack.enter_context(ScriptedServer(script, **(server or {})))
        settings = {"target": process.address, "retry": QUICK, **config}
        return process, self._stack.enter_context(RelevanceClient(ClientConfig(**settings)))


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(stack)


def score_pairs(client: RelevanceClient, pairs: list[tuple[str, str]] = PAIRS) -> list[float]:
    return list(client.score_batch([query for query, _ in pairs], [title for _, title in pairs]).scores)


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


def test_calls_carry_one_request_id_over_all_attempts(scene: Scene) -> None:
    server, client = scene([{"status": "DEADLINE_EXCEEDED"}, {"status": "DEADLINE_EXCEEDED"}])
    score_pairs(client)
    calls = [server.next_call()["metadata"] for _ in range(3)]
    assert [call["x-request-attempt"] for call in calls] == ["1", "2", "3"]
    assert len({call["x-request-id"] for call in calls}) == 1
    assert calls[0]["x-priority"] == "bulk"
    score_pairs(client)
    assert server.next_call()["metadata"]["x-request-id"] != calls[0]["x-request-id"]


def test_unavailable_is_repeated_beyond_what_grpc_repeats_itself(scene: Scene) -> None:
    failures = 8  # the channel alone makes three attempts
    server, client = scene([{"status": "UNAVAILABLE"}] * failures)
    assert score_pairs(client) == [score_of(*pair) for pair in PAIRS]
    assert len([call for call in server.finished_calls() if call["method"] == "ScoreBatch"]) == failures + 1


def test_pushback_is_obeyed(scene: Scene) -> None:
    server, client = scene([{"status": "UNAVAILABLE", "pushback_ms": 400}] * 4)
    score_pairs(client)
    times = [server.next_call()["at"] for _ in range(5)]
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.4


def test_negative_pushback_ends_the_call(scene: Scene) -> None:
    server, client = scene([{"status": "UNAVAILABLE", "pushback_ms": -1, "details": "going away"}])
    with pytest.raises(
        TargetUnavailableError, match=rf"{server.address} after 1 attempt in .* UNAVAILABLE, going away"
    ):
        score_pairs(client)
    assert len(server.finished_calls()) == 1


def test_closing_ends_a_call_that_runs_and_one_that_waits(scene: Scene) -> None:
    for script in ([{"delay_seconds": 60}], [{"status": "UNAVAILABLE", "pushback_ms": 50_000}] * 3):
        server, client = scene(script)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(score_pairs, client)
            server.next_call()
            client.close()
            with pytest.raises(ClientClosedError, match="its client or its window was closed"):
                running.result()


def test_once_answers_have_come_a_frozen_server_is_not_waited_for(scene: Scene) -> None:
    server, client = scene([{}] * 20 + [{"delay_seconds": 60}], deadline_seconds=60.0)
    for _ in range(20):
        score_pairs(client)
    began = time.monotonic()
    score_pairs(client)
    assert time.monotonic() - began < 30  # the deadline is 60 s, the timeout by then 2 s
    assert client.stats().timeouts == 1
    assert server.process.poll() is None


def test_a_slow_attempt_is_cut_off_and_repeated(scene: Scene) -> None:
    server, client = scene([{"delay_seconds": 60}], deadline_seconds=0.3)
    assert score_pairs(client) == [score_of(*pair) for pair in PAIRS]
    assert [server.next_call()["metadata"]["x-request-attempt"] for _ in range(2)] == ["1", "2"]


def test_the_budget_bounds_all_attempts(scene: Scene) -> None:
    server, client = scene(
        [{"delay_seconds": 60}] * 100,
        deadline_seconds=0.2,
        retry=RetryPolicy(budget_seconds=1.0, initial_backoff_seconds=0.01, max_backoff_seconds=0.02),
    )
    with pytest.raises(TargetUnavailableError, match=r"attempts in \d\.\d s: DEADLINE_EXCEEDED"):
        score_pairs(client)
    assert 2 <= len([call for call in server.finished_calls() if call["method"] == "ScoreBatch"]) <= 6


PAUSED = """
import sys
from grpc_client import ClientConfig, RelevanceClient, RetryPolicy
retry = RetryPolicy(budget_seconds=3, initial_backoff_seconds=0.01, max_backoff_seconds=0.02)
with RelevanceClient(ClientConfig(sys.argv[1], deadline_seconds=1.0, retry=retry)) as client:
    print(client.score_batch(["a"], ["b"]).model)
"""


def test_a_pause_of_the_caller_is_not_taken_from_its_budget(scene: Scene) -> None:
    server, _ = scene([{"delay_seconds": 60}])
    command = [sys.executable, "-c", PAUSED, server.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as caller:
        server.next_call()
        caller.send_signal(signal.SIGSTOP)
        time.sleep(4)  # the fault itself: longer than the budget
        caller.send_signal(signal.SIGCONT)
        out, errors = caller.communicate()
    assert out.strip() == "scripted 1", errors


def test_three_pauses_of_the_server_leave_no_trace_in_what_the_caller_has_learnt(scene: Scene) -> None:
    server, client = scene(deadline_seconds=0.5, in_flight=4)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            server.process.send_signal(signal.SIGSTOP)
            running = [pool.submit(score_pairs, client) for _ in range(8)]
            until = client.stats().timeouts + 2
            while client.stats().timeouts < until:
                threading.Event().wait(0.01)
            server.process.send_signal(signal.SIGCONT)
            for each in running:
                assert each.result() == [score_of(*pair) for pair in PAIRS]
        while client.stats().in_flight < 4:
            list(pool.map(lambda _: score_pairs(client), range(8)))
        before = client.stats()
        list(pool.map(lambda _: score_pairs(client), range(40)))
    after = client.stats()
    assert (after.in_flight, after.retries, after.failed_rows) == (4, before.retries, 0)


def test_nobody_listening_is_one_sentence_naming_the_target() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        config = ClientConfig(
            target, retry=RetryPolicy(budget_seconds=0.5, initial_backoff_seconds=0.05, max_backoff_seconds=0.1)
        )
        with (
            RelevanceClient(config) as client,
            pytest.raises(TargetUnavailableError, match=f"no answer from {target} "),
        ):
            client.model()


def test_what_was_said_is_not_hidden_by_the_last_attempt_which_is_cut_short(scene: Scene) -> None:
    refused = {"status": "UNAVAILABLE", "details": "all is taken", "pushback_ms": 300}
    # After three answers of the server, an attempt that the rest of the budget cuts off.
    _, client = scene(
        [refused] * 3 + [{"delay_seconds": 60}] * 10,
        deadline_seconds=60.0,
        retry=RetryPolicy(budget_seconds=3.0, initial_backoff_seconds=0.01, max_backoff_seconds=0.02),
    )
    with pytest.raises(TargetUnavailableError, match=r"after [23] attempts in 3\.\d s: UNAVAILABLE, all is taken"):
        score_pairs(client)


def test_a_refused_connection_is_named_whatever_the_budget() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for budget_seconds in (1.0, 1.7, 2.6):
            config = ClientConfig(
                f"127.0.0.1:{taken.getsockname()[1]}",
                retry=RetryPolicy(budget_seconds=budget_seconds),
                deadline_seconds=1.0,
            )
            with RelevanceClient(config) as client, pytest.raises(TargetUnavailableError, match="Connection refused"):
                client.model()


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_refusal_is_final_and_keeps_the_servers_words(scene: Scene, status: str) -> None:
    server, client = scene([{"status": status, "details": "row 7 points nowhere"}])
    with pytest.raises(RequestRejectedError, match=f"{status}, row 7 points nowhere") as caught:
        score_pairs(client)
    assert caught.value.code == status
    assert len(server.finished_calls()) == 1


def test_a_fault_of_the_server_names_the_request(scene: Scene) -> None:
    server, client = scene([{"status": "INTERNAL", "details": "internal error"}])
    with pytest.raises(ServerFaultError, match="INTERNAL, internal error") as caught:
        client.score("a", ["b"])
    assert server.next_call("Score")["metadata"]["x-request-id"] in str(caught.value)
    assert caught.value.code == "INTERNAL"


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


def test_the_limit_follows_refusals_and_answers(scene: Scene) -> None:
    server, client = scene([{}] * 12 + [{"status": "UNAVAILABLE", "pushback_ms": 1}] * 12, in_flight=8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: score_pairs(client), range(12)))
        grown = client.stats().in_flight
        list(pool.map(lambda _: score_pairs(client), range(200)))
    stats = client.stats()
    assert 1 < grown <= 8
    assert stats.refused >= 1
    assert stats.retries == stats.refused
    assert stats.in_flight == 8
    assert (stats.calls, stats.rows, stats.failed_rows) == (212, 212 * 3, 0)
    assert len([call for call in server.finished_calls() if call["method"] == "ScoreBatch"]) == 212 + 12


def test_refusals_that_prevail_are_not_repeated_by_grpc(scene: Scene) -> None:
    server, client = scene([{"status": "UNAVAILABLE", "pushback_ms": 1}] * 40)
    score_pairs(client)
    attempts = [call["metadata"]["x-request-attempt"] for call in server.finished_calls()]
    assert attempts[:3] == ["1", "1", "1"]  # gRPC's own
    assert attempts[-3:] == [str(int(attempts[-1]) - before) for before in (2, 1, 0)]  # ours alone


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


def test_stopping_ends_the_wait_for_another_attempt(scene: Scene) -> None:
    server, client = scene([{"status": "UNAVAILABLE", "pushback_ms": 15_000}] * 10)
    stop = threading.Event()
    errors: list[Exception] = []

    def call() -> None:
        try:
            client.score_batch(["a"], ["b"], stop=stop)
        except ClientError as error:
            errors.append(error)

    # The pushback keeps gRPC's own retry waiting as well, so the deadline has to end the first attempt.
    client.config = replace(client.config, deadline_seconds=0.5)
    thread = threading.Thread(target=call)
    thread.start()
    server.next_call()
    stop.set()
    thread.join()
    assert [type(error) for error in errors] == [ClientClosedError]


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
        with pytest.raises(RequestRejectedError, match="INVALID_ARGUMENT"):
            client.score_batch(["a"] * 5, ["b"] * 5)
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


FORK = """
import os, sys
from grpc_client import ClientConfig, shared_client
config = ClientConfig(sys.argv[1])
with shared_client(config) as before, shared_client(ClientConfig(sys.argv[1])) as again:
    assert before is again            # made in the parent, not used there
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            with shared_client(config) as mine:
                assert mine is not before
                assert mine.score_batch(["a"], ["b"]).model.name == "scripted"
            with shared_client(config) as again:
                assert mine is again
            assert before.score_batch(["a"], ["b"]).model.name == "scripted"   # opens a channel of the child's own
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
assert before.score_batch(["a"], ["b"]).model.name == "scripted"
"""


def test_every_process_has_its_own_client_and_channel(scene: Scene) -> None:
    server, _ = scene()
    command = [sys.executable, "-c", FORK, server.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_configs_are_keys_and_travel() -> None:
    config = ClientConfig("host:1", model=ModelRef("m", "1"))
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(pickle.loads(pickle.dumps(config))) == hash(config)
    error = pickle.loads(pickle.dumps(RequestRejectedError("a sentence", "NOT_FOUND")))
    assert (str(error), error.code) == ("a sentence", "NOT_FOUND")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"target": " "}, "target is empty"),
        ({"target": "a:1", "deadline_seconds": 0}, "deadline must be more than 0"),
        ({"target": "a:1", "in_flight": 0}, "in_flight must be at least 1"),
    ],
)
def test_impossible_settings_are_named(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ClientConfig(**config)


def test_impossible_retry_policies_are_named() -> None:
    with pytest.raises(ConfigError, match="budget must be more than 0"):
        RetryPolicy(budget_seconds=0)
    with pytest.raises(ConfigError, match="at most the maximum backoff, not 9 of 5"):
        RetryPolicy(initial_backoff_seconds=9)
