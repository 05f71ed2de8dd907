"""The log of refused calls: counts by reason, at most one line per period however many calls are refused."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

log = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 10.0


class RejectionLog:
    """Counts refused calls: the first is logged at once, those of each following period together at its end.

    For one event loop. At level DEBUG each call has its own line.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, *, method: str, code: str, reason: str, request_id: str) -> None:
        """Count a call by the reason that the metrics use."""
        self._counts[reason] += 1
        self._latest = {"method": method, "code": code, "request_id": request_id}
        log.debug("request refused", extra=self._latest)
        if self._timer is None:
            self._flush_and_wait()

    def flush(self) -> None:
        """Log the counts since the last time, if there are any."""
        if self._counts:
            log.warning("calls refused", extra={"calls": dict(self._counts), "latest": self._latest})
            self._counts.clear()

    def _flush_and_wait(self) -> None:
        logged = bool(self._counts)
        self.flush()
        # After a period without refused calls, the next one is logged at once again.
        self._timer = asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._flush_and_wait) if logged else None
