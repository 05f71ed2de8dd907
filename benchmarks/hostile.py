"""What hostile peers do to a server and to those who call it in good faith.

python -m benchmarks.hostile [--seconds 600] [--threads 4] [--silent 200] [-- SERVER FLAGS]

Starts a server on loopback, lets every peer of ``tests/support/hostile_peers.py`` at it from several threads, beside
connections that are held open and say nothing, while one caller without retries asks for 16 pairs at a time. One line
an interval: memory of the server, attempts so far, and the caller's calls, failures and 99th percentile within it.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import threading
import time

import psutil

from tests.support.good_caller import GoodCaller
from tests.support.hostile_peers import PEERS, attack, silent_connections
from tests.support.server_process import ServerProcess

WARM_UP_CALLS = 500
INTERVAL_SECONDS = 10.0


def attack_until(stop: threading.Event, address: tuple[str, int], seed: int, attempts: list[int]) -> None:
    """Let one peer after the other at the server."""
    rng = random.Random(seed)
    while not stop.is_set():
        attack(address, PEERS[(seed + attempts[seed]) % len(PEERS)], rng)
        attempts[seed] += 1


def hold_silent(stop: threading.Event, address: tuple[str, int], count: int) -> None:
    """Open silent connections again and again; the server closes some of them after ten seconds."""
    while not stop.is_set():
        with silent_connections(address, count):
            stop.wait(15)


def p99_ms(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds; NaN of too few."""
    return statistics.quantiles(seconds, n=100)[98] * 1000 if len(seconds) > 1 else float("nan")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--silent", type=int, default=200)
    parser.add_argument("flags", nargs="*", help="for the server, after --")
    options = parser.parse_args()
    with ServerProcess(*options.flags) as server:
        server.keep_reading()
        host, port = server.address.rsplit(":", 1)
        address = (host, int(port))
        process = psutil.Process(server.process.pid)
        with GoodCaller(server.address) as caller:
            caller.wait_for(WARM_UP_CALLS)
            print(f"undisturbed: rss {rss_mib(process):.0f} MiB, p99 {p99_ms(caller.seconds[100:]):.1f} ms", flush=True)
            stop = threading.Event()
            attempts = [0] * options.threads
            workers = [
                threading.Thread(target=attack_until, args=(stop, address, seed, attempts))
                for seed in range(options.threads)
            ]
            workers.append(threading.Thread(target=hold_silent, args=(stop, address, options.silent)))
            for worker in workers:
                worker.start()
            print("seconds  rss MiB  attempts  good calls  failures  p99 ms", flush=True)
            began, told, most = time.monotonic(), len(caller.seconds), 0.0
            while time.monotonic() - began < options.seconds:
                time.sleep(INTERVAL_SECONDS)
                now, memory = len(caller.seconds), rss_mib(process)
                most = max(most, memory)
                print(
                    f"{time.monotonic() - began:7.0f}  {memory:7.0f}  {sum(attempts):8d}  {now - told:10d}"
                    f"  {len(caller.failures):8d}  {p99_ms(caller.seconds[told:now]):6.1f}",
                    flush=True,
                )
                told = now
            stop.set()
            for worker in workers:
                worker.join()
            alive = server.process.poll() is None
        print(f"alive: {alive}, most rss {most:.0f} MiB, good calls {len(caller.seconds)}, failures {caller.failures}")
        server.process.send_signal(signal.SIGTERM)
        print(f"exit status {server.finish()}")


def rss_mib(process: psutil.Process) -> float:
    """Return the resident memory in MiB."""
    return float(process.memory_info().rss) / (1 << 20)


if __name__ == "__main__":
    main()
