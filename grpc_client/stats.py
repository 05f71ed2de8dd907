"""Counts of what a client did, and the rule that ends a process on which too many rows fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from grpc_client.errors import ServerFaultError

# So few rows may all be of one title or of one bad hour: below these numbers a share says little about the whole run.
_MIN_ROWS_AT_HALF, _MIN_ROWS = 100, 1000
_HALF = 0.5


@dataclass(frozen=True)
class ClientStats:
    """Counts of a client in one process; all but `in_flight` only grow.

    Attributes
    ----------
    calls
        Calls made.
    retries
        Attempts beyond the first of a call, without those that gRPC makes itself.
    refused, timeouts
        Attempts that were refused, by the server or on the way to it, and those that timed out.
    rows, failed_rows
        Rows of answered batches, and those of them on which the server failed.
    in_flight
        The limit on attempts in flight, now.
    """

    calls: int = 0
    retries: int = 0
    refused: int = 0
    timeouts: int = 0
    rows: int = 0
    failed_rows: int = 0
    in_flight: int = 1


class Counters:
    """The counters behind `ClientStats`; safe to use from many threads.

    Parameters
    ----------
    target
        Named in errors.
    max_failed_ratio
        Share of rows on which the server may fail. More ends the work of this process: after 1,000 failed rows; after
        100 if half of all rows failed; after the first if the share is 0.
    """

    def __init__(self, target: str, max_failed_ratio: float) -> None:
        self._target = target
        self._max_failed_ratio = max_failed_ratio
        self._lock = threading.Lock()
        self._stats = ClientStats()

    def add(self, *, calls: int = 0, retries: int = 0, refused: int = 0, timeouts: int = 0, rows: int = 0) -> None:
        """Add to the counts."""
        with self._lock:
            now = self._stats
            self._stats = replace(
                now,
                calls=now.calls + calls,
                retries=now.retries + retries,
                refused=now.refused + refused,
                timeouts=now.timeouts + timeouts,
                rows=now.rows + rows,
            )

    def add_failed_row(self, why: str) -> None:
        """Count a row on which the server failed; the error quotes `why`.

        Raises
        ------
        ServerFaultError
            If too many failed.
        """
        with self._lock:
            now = self._stats = replace(self._stats, rows=self._stats.rows + 1, failed_rows=self._stats.failed_rows + 1)
        ratio = self._max_failed_ratio
        many = now.failed_rows > max(_MIN_ROWS, ratio * now.rows)
        half = now.failed_rows > max(_MIN_ROWS_AT_HALF, max(ratio, _HALF) * now.rows)
        if many or half or not ratio:
            raise ServerFaultError(
                f"{self._target} failed on {now.failed_rows} of {now.rows} rows, more than "
                f"the {ratio:.2%} allowed; the last error: {why}"
            )

    def snapshot(self, in_flight: int) -> ClientStats:
        """Return all counts as they are now."""
        with self._lock:
            return replace(self._stats, in_flight=in_flight)
