"""Bad conditions for a server beside hostile peers: pauses, silent connections, floods of connections."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

from tests.support.hostile_peers import PEERS, attack, silent_connections
from tests.support.server_process import ServerProcess

Condition = Callable[[threading.Event, random.Random], None]


def pauses(server: ServerProcess, *, every_seconds: float, most_seconds: float) -> Condition:
    """Stop the process for a while, as throttling or a migration does, again and again."""
    process = psutil.Process(server.process.pid)

    def run(stop: threading.Event, rng: random.Random) -> None:
        while not stop.wait(rng.uniform(0.5, 1.5) * every_seconds):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
            try:
                stop.wait(rng.uniform(0.3, 1) * most_seconds)
            finally:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    return run


def connection_floods(address: tuple[str, int], count: int, *, every_seconds: float) -> Condition:
    """Open connections until the server takes no more, hold them for a moment, and leave."""

    def run(stop: threading.Event, rng: random.Random) -> None:
        while not stop.wait(rng.uniform(0.5, 1.5) * every_seconds):
            with ExitStack() as stack:
                for _ in range(count):
                    with suppress(OSError):
                        stack.enter_context(socket.create_connection(address, timeout=1))
                stop.wait(2)

    return run


def silence(address: tuple[str, int], count: int) -> Condition:
    """Hold connections that say nothing; the server closes some of them after ten seconds."""

    def run(stop: threading.Event, rng: random.Random) -> None:
        while not stop.is_set():
            with silent_connections(address, count):
                stop.wait(15)

    return run


def peers(address: tuple[str, int], attempts: list[str]) -> Condition:
    """Run hostile peers one after the other, in a process of their own: beside callers they would be too slow to harm.

    Each attempt is noted by the peer's name.
    """

    def run(stop: threading.Event, rng: random.Random) -> None:
        command = [sys.executable, "-m", __name__, address[0], str(address[1]), str(rng.randrange(1 << 30))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ender = threading.Thread(target=lambda: (stop.wait(), process.stdin and process.stdin.close()))
            ender.start()
            attempts.extend(line.strip() for line in process.stdout)
            ender.join()

    return run


def _attack_until_stdin_closes(host: str, port: str, seed: str) -> None:
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    rng = random.Random(int(seed))
    turn = rng.randrange(len(PEERS))
    while not ended.is_set():
        peer = PEERS[turn % len(PEERS)]
        attack((host, int(port)), peer, rng)
        print(peer.__name__, flush=True)
        turn += 1


@contextmanager
def all_at_once(conditions: list[Condition], seed: int) -> Iterator[None]:
    """Let each be, on a thread of its own, until the block ends."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=condition, args=(stop, random.Random(seed + number)))
        for number, condition in enumerate(conditions)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    _attack_until_stdin_closes(*sys.argv[1:])
