"""The throughput of a service, measured through the client of the nightly job."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from grpc_client import BatchScores, ClientConfig, RelevanceClient, ordered_window
from grpc_client.pair_batch import PairBatch

Pair = tuple[str, str]

_WARM_UP_SECONDS = 1.0
_WORDS = """
adapter bag black blue bottle box cable camera case charger coffee cotton cover cup desk door drill fan filter glass
green holder jacket kettle kids kitchen lamp leather light mat men metal mouse pack pan phone pillow plastic pro red
ring set shelf shirt shoes silver small steel storage stand table toy usb wall water white women wood
"""


@dataclass(frozen=True)
class Throughput:
    """Pairs per second of all replicas together, and the caller's CPU seconds per pair."""

    pairs_per_second: float
    caller_seconds_per_pair: float


def synthetic_pairs(count: int = 65_536) -> list[Pair]:
    """Return pairs that resemble a shop's: titles of about ten words, each with some queries of two or three words."""
    rng, words = random.Random(20260101), _WORDS.split()
    pairs: list[Pair] = []
    while len(pairs) < count:
        title = " ".join(rng.choices(words, k=rng.randint(7, 13))) + f" {rng.randint(1, 9999)}"
        pairs += [(" ".join(rng.choices(words, k=rng.randint(2, 3))), title) for _ in range(rng.randint(1, 5))]
    return pairs[:count]


def measure(config: ClientConfig, pairs: Sequence[Pair], seconds: float) -> Throughput:
    """Score the pairs repeatedly for `seconds`, with as many calls in flight as `config` allows.

    Raises
    ------
    grpc_client.ClientError
        If the service does not answer.
    """
    pairs = sorted(pairs, key=lambda pair: pair[1])  # as the job does, so that a title's pairs are in one call
    size = config.max_rows_per_rpc
    with RelevanceClient(config) as client:
        size = min(size, client.model().limits.max_rows)
        calls = [_call(client, pairs[start : start + size]) for start in range(0, len(pairs), size)]
        began = time.monotonic() + _WARM_UP_SECONDS
        end = began + seconds
        rows, cpu_seconds = 0, 0.0

        def endless() -> Iterator[Callable[[], BatchScores]]:
            number = 0
            while time.monotonic() < end:
                yield calls[number % len(calls)]
                number += 1

        for answer in ordered_window(endless(), config.in_flight, threading.Event()):
            if time.monotonic() < began:
                cpu_seconds = time.process_time()
            elif time.monotonic() < end:
                rows += len(answer.scores)
        cpu_seconds = time.process_time() - cpu_seconds
    rows = max(rows, 1)
    return Throughput(rows / seconds, cpu_seconds / rows)


def _call(client: RelevanceClient, pairs: Sequence[Pair]) -> Callable[[], BatchScores]:
    batch = PairBatch.of(pairs)
    return partial(client.score_batch, batch.queries, batch.titles, batch.query_index, batch.title_index)
