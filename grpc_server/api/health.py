"""`grpc.health.v1`: each watcher has its own state, and none can hold up another, a check or the server's end.

A client that checks health keeps a `Watch` stream open for as long as its connection lives, and takes its messages at
its own pace, or never. So a change of status is written down and each watcher is woken; whoever is stuck in a write to
a peer that reads nothing holds nothing that another waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS: Final = "liveness"
"""Asked for this service, a process that can answer is SERVING: a draining server must not be restarted for it."""

_Context = grpc.aio.ServicerContext[Any, Any]
_Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers for `services`, among them `""`, the server as a whole.

    Attributes
    ----------
    serving
        Whether the server takes work.
    """

    def __init__(self, services: Iterable[str] = ()) -> None:
        self._services = frozenset({"", *services})
        self._watchers: set[asyncio.Event] = set()
        self._ended = False
        self.serving = False

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> _Status:  # noqa: N802
        """Return the status of a service; `LIVENESS` has one of its own."""
        if request.service != LIVENESS and request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _Status(status=self._status(request.service))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:  # noqa: N802
        """Stream the status until the client leaves or the watches are ended.

        A watcher that is slow to take one status misses those in between and is told the last.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        told = None
        try:
            while True:
                changed.clear()
                status = self._status(request.service)
                if status != told:
                    # May wait for as long as the peer likes; nothing is held here but what is the watcher's own.
                    await context.write(_Status(status=status))
                    told = status
                elif self._ended:
                    return
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    def set_serving(self, serving: bool) -> None:
        """Set the status of every service but `LIVENESS`, and let the watchers know."""
        self.serving = serving
        self._wake()

    def end_watches(self) -> None:
        """End every watch, now and from now on; one whose peer reads nothing ends with its connection."""
        self._ended = True
        self._wake()

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            return _Status.SERVING
        if service not in self._services:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self.serving else _Status.NOT_SERVING

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
