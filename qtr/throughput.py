"""How many pairs a service scores a second, measured through the client that the nightly job uses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from grpc_client import BatchScores, ClientConfig, RelevanceClient, ordered_window

Pair = tuple[str, str]

_WARM_UP_SECONDS = 1.0
_WORDS = """
adapter bag black blue bottle box cable camera case charger coffee cotton cover cup desk door drill fan filter glass
green holder jacket kettle kids kitchen lamp leather light mat men metal mouse pack pan phone pillow plastic pro red
ring set shelf shirt shoes silver small steel storage stand table toy usb wall water white women wood
"""


@dataclass(frozen=True)
class Measured:
    """Pairs that all replicas together scored a second, and the caller's own processor time for one."""

    pairs_per_second: float
    caller_seconds_per_pair: float


def made_up_pairs(count: int = 65_536) -> list[Pair]:
    """Return pairs of a retailer's look: a title of ten words or so, each met by some queries of two or three."""
    rng, words = random.Random(20260101), _WORDS.split()
    pairs: list[Pair] = []
    while len(pairs) < count:
        title = " ".join(rng.choices(words, k=rng.randint(7, 13))) + f" {rng.randint(1, 9999)}"
        pairs += [(" ".join(rng.choices(words, k=rng.randint(2, 3))), title) for _ in range(rng.randint(1, 5))]
    return pairs[:count]


def measured(config: ClientConfig, pairs: Sequence[Pair], seconds: float) -> Measured:
    """Score pairs over and over, as many calls at a time as the limit of `config` allows.

    Raises
    ------
    grpc_client.ClientError
        If the service does not answer.
    """
    pairs = sorted(pairs, key=lambda pair: pair[1])  # as the job does: a title's pairs meet in one call
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
    return Measured(rows / seconds, cpu_seconds / rows)


def _call(client: RelevanceClient, pairs: Sequence[Pair]) -> Callable[[], BatchScores]:
    queries = {query: number for number, query in enumerate(dict.fromkeys(query for query, _ in pairs))}
    titles = {title: number for number, title in enumerate(dict.fromkeys(title for _, title in pairs))}
    index = [queries[query] for query, _ in pairs], [titles[title] for _, title in pairs]
    return partial(client.score_batch, list(queries), list(titles), *index)
