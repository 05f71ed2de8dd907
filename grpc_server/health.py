"""``grpc.health.v1``, with watches that end when the server has drained, and a service that is only about the process.

A client that checks health keeps a ``Watch`` stream open for as long as its connection lives. The library ends such a
stream only with the connection, so a graceful stop would wait for every watcher until its grace is over.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

SERVING = health_pb2.HealthCheckResponse.SERVING
LIVENESS: Final = "liveness"
"""Asked for this service, a process that can answer is SERVING: a draining server must not be restarted for it."""


class HealthServicer(health_aio.HealthServicer):
    """The library's servicer, whose watches :meth:`end_watches` can end."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    async def Check(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of a service; `LIVENESS` has one of its own."""
        if request.service == LIVENESS:
            return health_pb2.HealthCheckResponse(status=SERVING)
        return await super().Check(request, context)

    async def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> None:
        """Stream the status until the client leaves or the watches are ended."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({watching, ended}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            ended.cancel()

    async def is_serving(self, context: grpc.aio.ServicerContext[Any, Any]) -> bool:
        """Say whether the server as a whole takes work, for a call of another protocol that asks the same."""
        answer = await self.Check(health_pb2.HealthCheckRequest(service=""), context)
        return answer.status == SERVING

    def end_watches(self) -> None:
        """End every watch, now and from now on."""
        self._ended.set()
