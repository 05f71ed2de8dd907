"""The limiter: no more than the limit, older calls first, and one that is alone is alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from grpc_client import ClientClosedError
from grpc_client.flow_control.aimd import AimdLimit
from grpc_client.flow_control.limiter import ConcurrencyLimiter, Outcome

NEVER = threading.Event()


def test_many_threads_never_exceed_the_limit_and_it_grows_to_its_most() -> None:
    limit = AimdLimit(6)
    limiter = ConcurrencyLimiter(limit)
    lock = threading.Lock()
    running, most, excess = 0, 0, 0

    def call(number: int) -> None:
        nonlocal running, most, excess
        with limiter.permit(limiter.ticket(), NEVER, alone=number % 50 == 49) as permit:
            with lock:
                running += 1
                most = max(most, running)
                excess += running > limit.current
                excess += running > 1 and number % 50 == 49
            threading.Event().wait(0.001)
            with lock:
                running -= 1
            permit.outcome = Outcome.SUCCESS

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(400)))
    assert (most, excess, limit.current) == (6, 0, 6)


def test_a_repeated_call_goes_before_those_that_came_later() -> None:
    limiter = ConcurrencyLimiter(AimdLimit(1))
    order: list[str] = []
    old = limiter.ticket()
    ready = threading.Barrier(3)

    def wait(name: str, ticket: int) -> None:
        ready.wait()
        with limiter.permit(ticket, NEVER):
            order.append(name)

    with ThreadPoolExecutor(2) as pool:
        with limiter.permit(limiter.ticket(), NEVER):
            waiting = [pool.submit(wait, "new", limiter.ticket()), pool.submit(wait, "old", old)]
            ready.wait()
            while len(limiter._waiting) < 2:
                threading.Event().wait(0.001)
        for each in waiting:
            each.result()
    assert order == ["old", "new"]


def test_stopping_ends_the_wait() -> None:
    limiter = ConcurrencyLimiter(AimdLimit(1))
    stop = threading.Event()
    with limiter.permit(limiter.ticket(), NEVER), ThreadPoolExecutor(1) as pool:

        def wait() -> None:
            with limiter.permit(limiter.ticket(), stop):
                pass

        waiting = pool.submit(wait)
        stop.set()
        with pytest.raises(ClientClosedError):
            waiting.result()
    with limiter.permit(limiter.ticket(), NEVER):  # a call that gave up does not block the order
        pass
