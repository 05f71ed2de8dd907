"""When failed rows end the work of a process."""

from __future__ import annotations

import pytest

from grpc_client import ClientStats, ServerFaultError
from grpc_client.stats import Counters


def allowed(ratio: float, good_rows: int) -> int:
    """Return how many rows may fail after `good_rows` that did not."""
    counters = Counters("host:1", ratio)
    counters.add(rows=good_rows)
    for failed in range(5000):
        try:
            counters.add_failed_row("why")
        except ServerFaultError:
            return failed
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("ratio", "good_rows", "expected"),
    [
        (0.0, 10_000, 0),  # none may fail
        (0.01, 0, 100),  # half of all rows, after a hundred
        (0.01, 150, 150),
        (0.01, 2_000, 1000),  # the share, after a thousand
        (0.6, 0, 100),  # a share above half replaces the half
        (0.6, 80, 120),
    ],
)
def test_the_work_ends_at_the_share_after_enough_rows(ratio: float, good_rows: int, expected: int) -> None:
    assert allowed(ratio, good_rows) == expected


def test_the_error_names_the_counts_and_the_last_reason() -> None:
    counters = Counters("host:1", 0.0)
    counters.add(rows=9)
    with pytest.raises(ServerFaultError, match=r"host:1 failed on 1 of 10 rows, more than the 0\.00% allowed; .*: why"):
        counters.add_failed_row("why")


def test_a_snapshot_holds_all_counts() -> None:
    counters = Counters("host:1", 0.5)
    counters.add(calls=2, retries=1)
    counters.add(refused=3, timeouts=4, rows=5)
    counters.add_failed_row("why")
    expected = ClientStats(calls=2, retries=1, refused=3, timeouts=4, rows=6, failed_rows=1, in_flight=7)
    assert counters.snapshot(in_flight=7) == expected
