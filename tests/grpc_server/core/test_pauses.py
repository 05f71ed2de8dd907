"""A server that was frozen answers as before once it runs again, however short the time that callers give it."""

from __future__ import annotations

import itertools
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from relevance_stubs.relevance.v1 import relevance_pb2 as pb
from relevance_stubs.relevance.v1 import relevance_pb2_grpc
from tests.support.scrape import read_metrics
from tests.support.server_process import ServerProcess

# Two, so that the model is at work all the time and every batch is one call.
CALLERS = 2
TITLES = 64
PAUSE_SECONDS = 3.5
DEADLINE_SECONDS = 0.3
_numbers = itertools.count()


def ask(stub: relevance_pb2_grpc.RelevanceServiceStub) -> grpc.StatusCode:
    """Score titles that were not scored before."""
    titles = [f"desk {next(_numbers)} with a lamp shade" for _ in range(TITLES)]
    try:
        stub.Score(pb.ScoreRequest(query="lamp", titles=titles), timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def model_seconds(server: ServerProcess) -> float:
    """Return the time that all batches so far seem to have taken."""
    scrape = read_metrics(server.metrics_address)
    return scrape.value("qtr_tokenize_seconds_sum") + scrape.value("qtr_infer_seconds_sum")


def test_pauses_of_the_process_are_not_held_against_later_calls() -> None:
    with ServerProcess() as server, server.channel() as channel:
        stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
        over = threading.Event()
        answered = threading.Semaphore(0)

        def keep_asking() -> None:
            while not over.is_set():
                if ask(stub) is grpc.StatusCode.OK:
                    answered.release()

        with ThreadPoolExecutor(CALLERS) as callers:
            asking = [callers.submit(keep_asking) for _ in range(CALLERS)]
            try:
                for _ in range(3):
                    answered.acquire()
                before = model_seconds(server)
                # Until a pause has met the model at work.
                while model_seconds(server) < before + PAUSE_SECONDS:
                    before = model_seconds(server)
                    server.process.send_signal(signal.SIGSTOP)
                    over.wait(PAUSE_SECONDS)
                    server.process.send_signal(signal.SIGCONT)
                # What the pauses taught must not refuse everybody who comes after.
                for _ in range(10):
                    answered.acquire()
            finally:
                server.process.send_signal(signal.SIGCONT)
                over.set()
            for each in asking:
                each.result()
        while ask(stub) is not grpc.StatusCode.OK:
            pass
