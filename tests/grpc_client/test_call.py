"""Calls through attempts, waits and limits, against scripted servers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from grpc_client import (
    ClientClosedError,
    ClientConfig,
    ClientError,
    RelevanceClient,
    RequestRejectedError,
    RetryPolicy,
    ServerFaultError,
    TargetUnavailableError,
)
from tests.support.client_scene import PAIRS, Scene, score_pairs
from tests.support.scripted_server import score_of


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
