"""A gRPC server in this process with admission control and generous limits."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from grpc_server.core.observer import NULL_OBSERVER, Observer
from grpc_server.transport.admission import AdmissionController, AdmissionLimits
from grpc_server.transport.auth import Authenticator
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.limits import MemoryBudget, ReceiveSlots


def admitted_server(
    observer: Observer = NULL_OBSERVER,
    *,
    limits: AdmissionLimits | None = None,
    backlog: Backlog | None = None,
    options: Sequence[tuple[str, int]] = (),
) -> AdmissionController:
    """Return a server to add services and ports to; `limits` are for calls of every kind."""
    limits = limits or AdmissionLimits(MemoryBudget(1 << 20), ReceiveSlots(4, 10))
    return AdmissionController(
        grpc.aio.server(options=options),
        Authenticator(),
        work=limits,
        checks=limits,
        watches=limits,
        observer=observer,
        backlog=backlog,
    )
