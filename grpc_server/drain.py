"""The end of the server: lame duck, drain, close the connections, exit; all within a time limit."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import Final

import grpc.aio

from grpc_server.api.health import HealthServicer
from grpc_server.core.engine import Engine
from grpc_server.errors import StartupError
from grpc_server.transport.admission import AdmissionLimits

log = logging.getLogger("grpc_server")

# The last part of the drain time, at most a fifth of it, in which connections that are still open are aborted.
_ABORT_SECONDS: Final = 1.0
# Time for peers to close their connections after the last answer was sent; an honest peer takes a round trip.
_CLOSE_SECONDS: Final = 1.0
_NEVER_SECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Drained:
    """How a drain ended.

    Attributes
    ----------
    failure
        Why accepted work was not finished; empty if it was.
    closed
        Whether gRPC could close every connection.
    """

    failure: str
    closed: bool


async def drain(
    server: grpc.aio.Server,
    health: HealthServicer,
    engine: Engine,
    work: AdmissionLimits,
    *,
    drain_seconds: float,
    lame_duck_seconds: float,
) -> Drained:
    """Report NOT_SERVING, then refuse new work, then finish the accepted work, then close the connections.

    This takes at most `drain_seconds`, whatever peers do: every wait is within the limit, and the last part of it is
    kept for aborting the connections that are still open.
    """
    abort_seconds = min(_ABORT_SECONDS, drain_seconds / 5)
    log.info("draining")
    health.set_serving(False)
    drained = False
    try:
        async with asyncio.timeout(drain_seconds - abort_seconds):
            if not engine.broken.is_set():
                await asyncio.sleep(min(lame_duck_seconds, drain_seconds / 2))
            await engine.drain()
            drained = not engine.broken.is_set()
            if drained:
                health.end_watches()
                work.slots.close()
                await _close_connections(server, work)
    except TimeoutError:
        if drained:
            log.warning("answers that were not read in time are aborted", extra={"drain_seconds": drain_seconds})
        else:
            log.error("not drained in time; accepted calls are aborted", extra={"drain_seconds": drain_seconds})
    # Waited for without cancelling it: gRPC would find its own future cancelled.
    closed, _ = await asyncio.wait({asyncio.ensure_future(server.stop(0))}, timeout=abort_seconds)
    if engine.broken.is_set():
        # The remaining calls cannot be answered here; once aborted, their callers retry at another replica.
        return Drained("the engine broke down; the log has the cause", closed=bool(closed))
    return Drained("" if drained else "not drained in time", closed=bool(closed))


def leave(drained: Drained) -> None:
    """Log how the drain ended; end the process at once if gRPC could not close every connection.

    gRPC keeps a connection whose peer has stopped reading in the middle of an answer, and freeing its objects waits for
    that connection without limit.

    Raises
    ------
    StartupError
        If accepted work was not finished.
    """
    if not drained.closed:
        log.warning("a connection cannot be closed, because its peer does not read")
        if drained.failure:
            log.error(drained.failure)
        logging.shutdown()
        os._exit(1 if drained.failure else 0)
    if drained.failure:
        raise StartupError(drained.failure)
    log.info("stopped")


async def _close_connections(server: grpc.aio.Server, work: AdmissionLimits) -> None:
    """Wait until every answer was sent, then until the connections are closed or `_CLOSE_SECONDS` have passed."""
    stopping = asyncio.ensure_future(server.stop(_NEVER_SECONDS))
    answered = asyncio.ensure_future(work.budget.empty())
    try:
        await asyncio.wait({stopping, answered}, return_when=asyncio.FIRST_COMPLETED)
        # A silent peer would otherwise keep the server without limit.
        await asyncio.wait({stopping}, timeout=_CLOSE_SECONDS)
    finally:
        stopping.cancel()
        answered.cancel()
