"""What is logged of refused calls: counts by reason, now and then, so that a flood of calls is no flood of lines."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final

log = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 10.0


class RejectionLog:
    """Counts refused calls: the first is told at once, those of the next seconds together at their end.

    For one event loop. At the level DEBUG each call has a line of its own.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, *, method: str, code: str, reason: str, request_id: str) -> None:
        """Count a call by the word under which the metrics count it, too."""
        self._counts[reason] += 1
        self._latest = {"method": method, "code": code, "request_id": request_id}
        log.debug("request refused", extra=self._latest)
        if self._timer is None:
            self._tell_and_wait()

    def tell(self) -> None:
        """Log what was counted since the last time, if anything was."""
        if self._counts:
            log.warning("calls refused", extra={"calls": dict(self._counts), "latest": self._latest})
            self._counts.clear()

    def _tell_and_wait(self) -> None:
        told = bool(self._counts)
        self.tell()
        # Once a period was quiet, the next call is told at once again.
        self._timer = asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._tell_and_wait) if told else None
