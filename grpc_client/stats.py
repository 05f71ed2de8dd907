"""What a client has done so far, as plain numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from grpc_client.errors import ServerFaultError

# Rows that may all be one title's, or one bad hour's: below these numbers a share says little about the whole night.
_FEW_ROWS, _SOME_ROWS = 100, 1000
_HOPELESS = 0.5


@dataclass(frozen=True)
class ClientStats:
    """A snapshot of one process's side of a client; all but `in_flight` only grow.

    Attributes
    ----------
    calls
        Calls that were made.
    retries
        Attempts beyond the first of a call; those of gRPC itself are not seen here.
    refused, timeouts
        Attempts that were refused, by whomever on the way, and those that were not answered in time.
    rows, failed_rows
        Rows of batches that have an answer, and those of them on which the server failed.
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
    """Counts; safe to use from many threads.

    Parameters
    ----------
    target
        Named in errors.
    max_failed_ratio
        Share of rows on which the server may fail. It ends the work of this process when it is exceeded after a
        thousand failed rows, or by half of all rows after a hundred; if it is 0, by the first.
    """

    def __init__(self, target: str, max_failed_ratio: float) -> None:
        self._target = target
        self._max_failed_ratio = max_failed_ratio
        self._lock = threading.Lock()
        self._stats = ClientStats()

    def add(self, *, calls: int = 0, retries: int = 0, refused: int = 0, timeouts: int = 0, rows: int = 0) -> None:
        """Add to the counts of these names."""
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
        """Count a row on which the server fails; `why` is the sentence for the error.

        Raises
        ------
        ServerFaultError
            If too many have failed.
        """
        with self._lock:
            now = self._stats = replace(self._stats, rows=self._stats.rows + 1, failed_rows=self._stats.failed_rows + 1)
        ratio = self._max_failed_ratio
        some = now.failed_rows > max(_SOME_ROWS, ratio * now.rows)
        few = now.failed_rows > max(_FEW_ROWS, max(ratio, _HOPELESS) * now.rows)
        if some or few or not ratio:
            raise ServerFaultError(
                f"{self._target} failed on {now.failed_rows} of {now.rows} rows, more than "
                f"the {ratio:.2%} that may be; the last time: {why}"
            )

    def snapshot(self, in_flight: int) -> ClientStats:
        """Return all counts as they are now."""
        with self._lock:
            return replace(self._stats, in_flight=in_flight)
