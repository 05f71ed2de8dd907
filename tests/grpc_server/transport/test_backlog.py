"""Calls that wait in gRPC for the event loop: pushback before gRPC drops any, and a count of those it dropped."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_server.core.observer import Method, Observers
from grpc_server.errors import UnavailableError
from grpc_server.telemetry.metrics import Metrics
from grpc_server.transport.admission import HEALTH, AdmissionLimits
from grpc_server.transport.backlog import Backlog, calls_begun
from grpc_server.transport.limits import MemoryBudget, ReceiveSlots
from tests.support.admitted_server import admitted_server
from tests.support.scrape import Scrape, parse

MOST = 64
METHOD = Method("unary", "test", "one")
CHECK = Method("unary", HEALTH, "Check")


def shown(metrics: Metrics) -> Scrape:
    from prometheus_client import generate_latest

    return parse(generate_latest(metrics.registry).decode())


async def burst(calls: int, *, service: str = "test") -> tuple[Counter[grpc.StatusCode], set[str], float]:
    """Let so many calls come while the loop is busy with the first; count what they end with."""
    backlog = Backlog(MOST)
    before = calls_begun()
    metrics = Metrics()
    metrics.watch_backlog(backlog)
    bounds = ("grpc.server.max_pending_requests", "grpc.server.max_pending_requests_hard_limit")
    server = admitted_server(
        Observers(backlog, metrics),
        limits=AdmissionLimits(MemoryBudget(1 << 30), ReceiveSlots(1000, 60)),
        backlog=backlog,
        options=[(name, MOST) for name in bounds],
    )
    first = True

    async def one(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        nonlocal first
        while first and calls_begun() - before < calls:
            time.sleep(0.001)  # the loop is held up until all calls have come
        first = False
        return request

    handler = grpc.unary_unary_rpc_method_handler(one, bytes, bytes)
    server.add_registered_method_handlers(service, {"one": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    child = await asyncio.create_subprocess_exec(
        *_caller(port, service, calls), stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )
    out, _ = await child.communicate()
    codes: Counter[grpc.StatusCode] = Counter()
    pushbacks = set()
    for line in out.decode().splitlines():
        code, pushback = line.split()
        codes[grpc.StatusCode[code]] += 1
        if code == "UNAVAILABLE":
            pushbacks.add(pushback)
    unseen = shown(metrics).value("qtr_unseen_calls")
    await server.stop(0)
    return codes, pushbacks, unseen


def _caller(port: int, service: str, calls: int) -> list[str]:
    """Return a command that makes the calls at once, each once: the loop of this process is held up meanwhile."""
    script = f"""
import grpc
with grpc.insecure_channel("127.0.0.1:{port}", options=[("grpc.enable_retries", 0)]) as channel:
    method = channel.unary_unary("/{service}/one")
    for call in [method.future(b"") for _ in range({calls})]:
        pushback = dict(call.trailing_metadata() or ()).get("grpc-retry-pushback-ms", "none")
        print(call.code().name, pushback)
"""
    return [sys.executable, "-c", script]


async def test_a_burst_is_answered_or_gets_pushback_before_grpc_drops_any() -> None:
    codes, pushbacks, unseen = await burst(MOST)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert codes[grpc.StatusCode.UNAVAILABLE] < MOST / 2
    assert pushbacks == {"500"}
    assert unseen == 0


async def test_what_grpc_drops_is_cancelled_and_counted() -> None:
    codes, _, unseen = await burst(3 * MOST)
    assert codes[grpc.StatusCode.CANCELLED] >= MOST
    assert unseen == codes[grpc.StatusCode.CANCELLED]


async def test_health_checks_are_not_refused_for_calls_that_wait() -> None:
    codes, _, _ = await burst(MOST, service=HEALTH)
    assert codes == {grpc.StatusCode.OK: MOST}


class Core:
    """Stands for gRPC's own count, and the clock."""

    def __init__(self) -> None:
        self.begun, self.now = 0, 0.0
        self.backlog = Backlog(800, lambda: self.begun, lambda: self.now)
        self._take = self.backlog.method_served(METHOD)

    def take(self, calls: int) -> None:
        for _ in range(calls):
            self._take(())

    def refuses(self) -> bool:
        try:
            self.backlog.check()
        except UnavailableError:
            return True
        return False


def test_it_refuses_from_three_quarters_on_and_no_longer_than_calls_wait() -> None:
    core = Core()
    core.begun = 600 + 100
    core.take(100)
    assert not core.refuses()
    core.begun += 100 + 1
    core.take(100)
    assert core.refuses()
    core.take(100)
    assert not core.refuses()


def test_an_estimate_expires_when_no_calls_come_to_renew_it() -> None:
    core = Core()
    core.begun = 900
    core.take(100)
    assert core.refuses()
    core.now += 0.5
    assert not core.refuses()


@pytest.mark.parametrize("dropped", [1_000, 1_000_000])
def test_calls_that_grpc_dropped_are_not_taken_for_calls_that_wait(dropped: int) -> None:
    core = Core()
    core.begun = 800 + dropped
    core.take(100)  # gRPC has dropped all but 800
    assert core.refuses()
    core.take(700)
    assert not core.refuses()
    assert core.backlog.unseen() == dropped


def test_calls_whose_callers_left_while_they_waited_are_forgotten() -> None:
    core = Core()
    core.begun = 790
    core.take(100)
    assert core.refuses()
    # The other 690 have left. A call comes every 10 ms, and is taken at once.
    refused = 0
    for _ in range(1000):
        core.now += 0.01
        core.begun += 1
        core.take(1)
        refused += core.refuses()
    assert refused <= 200
    # Calls that wait count from there.
    core.begun += 601 + 100
    core.take(100)
    assert core.refuses()


def test_queued_health_checks_have_no_other_call_refused() -> None:
    core = Core()
    check = core.backlog.method_served(CHECK)
    for _ in range(50):
        core.begun += 800
        for _ in range(99):
            check(())
        core.take(1)
        assert not core.refuses()


@pytest.mark.parametrize("surplus", [1.2, 2.0])
def test_however_long_too_many_calls_come_grpc_drops_none(surplus: float) -> None:
    core = Core()
    come, most, answered = 0.0, 0, 0
    for _ in range(200_000):
        # To answer a call takes a millisecond, to refuse it four tenths.
        seconds = 0.0004 if core.refuses() else 0.001
        answered += seconds == 0.001
        core.now += seconds
        come += 1000 * surplus * seconds
        core.begun = round(come)
        core.take(1)
        most = max(most, core.backlog.unseen())
    assert most < 800
    refused_share = (1 - 1 / surplus) / 0.6  # that which just keeps up
    assert answered > 0.9 * (1 - refused_share) * 200_000
