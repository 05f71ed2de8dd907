"""`Explain` from outside: a real process, a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from grpc_client import ClientConfig, RelevanceClient, RequestRejectedError
from relevance_model import Explainer, Scorer
from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.grpc_calls import refused
from tests.support.scrape import read_metrics
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
PAIR = ("power steering hose", "ACDelco Professional 36-365453 Power Steering Pressure Line Hose Assembly")


def test_it_explains_like_the_model_itself(server: ServerProcess, scorer: Scorer) -> None:
    expected = Explainer(scorer).explain(*PAIR)
    before = read_metrics(server.metrics_address)
    with RelevanceClient(ClientConfig(server.address)) as client:
        found = client.explain(*PAIR)
        [scored] = client.score(PAIR[0], [PAIR[1]]).titles
    after = read_metrics(server.metrics_address)
    words = [*found.query, *found.title]
    assert [word.word for word in words] == " ".join(PAIR).split()
    shown = [(word.contribution, word.standard_error) for word in (*expected.query, *expected.title)]
    assert [word.contribution for word in words] == pytest.approx([value for value, _ in shown], abs=1e-4)
    assert [word.standard_error for word in words] == pytest.approx([error for _, error in shown], abs=1e-4)
    assert sum(word.contribution for word in words) == pytest.approx(found.logit - found.baseline_logit, abs=1e-4)
    assert found.score == pytest.approx(scored.score, abs=1e-6)
    assert found.label == scored.label
    assert (found.exact, found.pairs, found.unread_title_words) == (False, expected.pairs, 0)
    pairs = after.value("qtr_explanation_pairs_total") - before.value("qtr_explanation_pairs_total")
    assert pairs in {expected.pairs, expected.pairs + 56}  # with the baseline, the first time


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (pb.ExplainRequest(query="", title="x"), grpc.StatusCode.INVALID_ARGUMENT, "query: is empty"),
        (pb.ExplainRequest(query="x", title="y" * 9000), grpc.StatusCode.INVALID_ARGUMENT, "title: has 9000 bytes"),
        (
            pb.ExplainRequest(query="x", title="y", model=pb.ModelVersion(name="other")),
            grpc.StatusCode.NOT_FOUND,
            "is not served here",
        ),
    ],
)
def test_what_cannot_be_explained_is_said(
    server: ServerProcess, request_: pb.ExplainRequest, code: grpc.StatusCode, details: str
) -> None:
    error = refused(lambda: relevance_pb2_grpc.RelevanceServiceStub(server.channel()).Explain(request_))
    assert error.code() is code
    assert details in error.details()


def test_a_server_may_offer_none_and_read_short_texts_only(start_server: StartServer) -> None:
    silent = start_server("--max-explanations", "0", "--max-text-bytes", "12")
    with (
        RelevanceClient(ClientConfig(silent.address)) as client,
        pytest.raises(RequestRejectedError, match="does not have the method"),
    ):
        client.explain("red shoes", "Red shoes")
    short = start_server("--max-text-bytes", "12")
    with RelevanceClient(ClientConfig(short.address)) as client:
        assert client.explain("red shoes", "Red shoes 42").label == "relevant"


def test_many_callers_do_not_stop_scoring(server: ServerProcess) -> None:
    """32 callers ask without pause, and none waits as it is told to; 100 calls of `Score` are answered meanwhile."""
    answered, refused, wrong = [0] * 32, [0] * 32, []
    done = threading.Event()
    with server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)

        def explain(caller: int) -> None:
            while not done.is_set():
                try:
                    stub.Explain(pb.ExplainRequest(query=PAIR[0], title=f"{PAIR[1]} {caller}"))
                    answered[caller] += 1
                except grpc.RpcError as error:
                    refused[caller] += 1
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        wrong.append(error)

        with ThreadPoolExecutor(32) as pool:
            callers = [pool.submit(explain, caller) for caller in range(32)]
            try:
                for number in range(100):
                    response = stub.Score(pb.ScoreRequest(query="red shoes", titles=[f"Red shoes, size {number}"]))
                    assert response.results[0].HasField("score")
            finally:
                done.set()
            for caller in callers:
                caller.result()
    assert not wrong
    assert sum(answered) > 0
    assert sum(refused) > 0
    assert read_metrics(server.metrics_address).value("qtr_rejected_total", reason="explanations_full") > 0
