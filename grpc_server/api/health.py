"""`grpc.health.v1`: each watcher has its own state, and none can block another, a check or the server's end.

A client that watches health keeps a `Watch` stream open for the life of its connection, and reads its messages slowly
or never. So a change of status is stored and wakes each watcher, and each watcher writes by itself: a write that is
blocked by its peer holds no lock and no queue that others need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS: Final = "liveness"
"""Health service of the process alone: always SERVING, so that a draining server is not restarted."""

_Context = grpc.aio.ServicerContext[Any, Any]
_Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Reports the status of `services`, and of the server as a whole under the name `""`.

    Attributes
    ----------
    serving
        Whether the server accepts work.
    """

    def __init__(self, services: Iterable[str] = ()) -> None:
        self._services = frozenset({"", *services})
        self._watchers: set[asyncio.Event] = set()
        self._ended = False
        self.serving = False

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> _Status:  # noqa: N802
        """Return the status of a service."""
        if request.service != LIVENESS and request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _Status(status=self._status(request.service))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:  # noqa: N802
        """Stream the status until the client leaves or the watches are ended.

        A watcher whose peer reads slowly skips intermediate statuses and sends the latest.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        sent = None
        try:
            while True:
                changed.clear()
                status = self._status(request.service)
                if status != sent:
                    # May block for as long as the peer does not read; this affects no other watcher.
                    await context.write(_Status(status=status))
                    sent = status
                elif self._ended:
                    return
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    def set_serving(self, serving: bool) -> None:
        """Set the status of every service but `LIVENESS`, and wake the watchers."""
        self.serving = serving
        self._wake()

    def end_watches(self) -> None:
        """End every watch, current and future; a watch whose peer does not read ends with its connection."""
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
