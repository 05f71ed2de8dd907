"""All hostile peers at once, for 12 seconds: the server survives, its memory stays bounded, other callers are served.

`benchmarks/hostile.py` does the same for any time.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil

from tests.support.good_caller import GoodCaller
from tests.support.hostile_peers import PEERS, attack, silent_connections
from tests.support.server_process import ServerProcess

StartServer = Callable[..., ServerProcess]
MIB = 1 << 20
SECONDS = 12.0
SILENT_CONNECTIONS = 200
# What parsing one message of the largest size may take, which the allocator then keeps.
MOST_GROWTH = 256 * MIB


def test_hostile_peers_harm_nobody(start_server: StartServer) -> None:
    server = start_server("--arrival-seconds", "3")
    address = server.socket_address
    process = psutil.Process(server.process.pid)
    with ExitStack() as stack:
        caller = stack.enter_context(GoodCaller(server.address))
        caller.wait_for(50)
        before = process.memory_info().rss
        stack.enter_context(silent_connections(address, SILENT_CONNECTIONS))
        until = time.monotonic() + SECONDS

        def keep_on(seed: int) -> int:
            rng = random.Random(seed)
            attempts = 0
            while time.monotonic() < until:
                attack(address, PEERS[(seed + attempts) % len(PEERS)], rng)
                attempts += 1
            return attempts

        with ThreadPoolExecutor(6) as pool:
            attempts = sum(pool.map(keep_on, range(6)))
        under_attack = len(caller.seconds)
        caller.wait_for(under_attack + 50)
    assert attempts >= len(PEERS)
    assert caller.failures == []
    assert under_attack > 50
    assert server.process.poll() is None
    assert process.memory_info().rss - before < MOST_GROWTH
    server.process.send_signal(signal.SIGTERM)
    assert server.finish() == 0
    assert [event for event in server.events if event["level"] == "ERROR"] == []
