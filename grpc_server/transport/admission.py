"""Admission control for every RPC: who may call, what a call may hold, and which methods there are.

gRPC delivers a unary call only after buffering its whole message. A caller without a token could make the server hold
megabytes before it is refused. So every method is registered as client-streaming (on the wire there is no difference),
and `grpc_server.transport.method_handler` reads its message after these checks.

What can be computed per method is computed when the method is added: a call with a single pair costs little more than
gRPC's own work for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

from grpc_server.core.observer import UNKNOWN_METHOD, Method, Observer
from grpc_server.transport.auth import Authenticator
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.call import Call
from grpc_server.transport.health_admission import HealthAdmission
from grpc_server.transport.limits import MemoryBudget, ReceiveSlots
from grpc_server.transport.method_handler import MethodHandler
from grpc_server.transport.rejections import RejectionLog
from grpc_server.transport.wire import ValueBound

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

HEALTH: Final = "grpc.health.v1.Health"
# The methods of health that this server has.
_CHECKS: Final[tuple[str, ...]] = ("Check", "Watch")
# By whether requests and responses are streams; no contract has a stream of requests with one response.
_KINDS: Final = {(False, False): "unary", (False, True): "server_stream", (True, True): "bidi_stream"}


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What the calls of one kind share: a memory budget, and slots for receiving messages."""

    budget: MemoryBudget
    slots: ReceiveSlots

    def budget_for(self, call: Call) -> MemoryBudget:  # noqa: ARG002
        """Return the budget that `call` takes from."""
        return self.budget


class AdmissionController(grpc.aio.Server):
    """A gRPC server whose methods are called through admission control.

    Generated code adds services to it as to any server; ports, start and stop are those of the server that it wraps.

    The observer receives the start of every call and the status that it ended with. One status is not seen: gRPC itself
    sends RESOURCE_EXHAUSTED for a message over the port's size limit, and shows the server a call without a message.

    Parameters
    ----------
    server
        Not started yet.
    authenticator
        Checks every call but the health checks.
    work
        Limits for every call but the health checks.
    checks, watches
        Limits for health checks, and for streams of them. Health checks need no token, because probes cannot send one.
        They must be answered when the other limits are reached, so they have limits of their own.
    observer
        Receives every call.
    texts
        The methods whose messages hold texts, by full name (`package.Service/Method`), and how many values a message
        may have. These messages may be as large as the port accepts; all others `SMALL_MESSAGE_BYTES`.
    backlog
        Refuses calls while too many wait in gRPC; `None` for no such limit. It never refuses health checks.

    Attributes
    ----------
    rejections
        Logs refused calls.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        authenticator: Authenticator,
        *,
        work: AdmissionLimits,
        checks: AdmissionLimits | HealthAdmission,
        watches: AdmissionLimits | HealthAdmission,
        observer: Observer,
        texts: Mapping[str, ValueBound] = MappingProxyType({}),
        backlog: Backlog | None = None,
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._work = work
        self._checks = checks
        self._watches = watches
        self._observer = observer
        self._texts = texts
        self._check_backlog = _no_check if backlog is None else backlog.check
        self._methods: dict[str, Handler] = {}
        self.rejections = RejectionLog()
        server.add_generic_rpc_handlers((_Methods(self._methods, observer),))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Do nothing: generated code adds each method in this form and in the one of the next method."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Add the methods of a service, each behind admission control.

        gRPC queues the calls of each registered method by themselves, and all other calls together. Only health checks
        are registered: other calls then take no place from them, and all queues together stay small.
        """
        handlers = {}
        for name, handler in method_handlers.items():
            method = Method(_KINDS[handler.request_streaming, handler.response_streaming], service_name, name)
            started = self._observer.method_served(method)
            authenticator, limits, check_backlog = (
                self._authenticator,
                self._limits_of(service_name, handler),
                self._check_backlog,
            )
            if service_name == HEALTH:
                authenticator, check_backlog = Authenticator(), _no_check
            handlers[name] = MethodHandler(
                name,
                handler,
                budget_for=limits.budget_for,
                slots=limits.slots,
                authenticator=authenticator,
                values=self._texts.get(f"{service_name}/{name}"),
                check_backlog=check_backlog,
                rejections=self.rejections,
                started=started,
            ).handler()
        if service_name == HEALTH:
            checks = {name: handlers.pop(name) for name in _CHECKS if name in handlers}
            self._server.add_registered_method_handlers(service_name, checks)
        self._methods.update({f"/{service_name}/{name}": handler for name, handler in handlers.items()})

    def _limits_of(self, service_name: str, handler: Handler) -> AdmissionLimits | HealthAdmission:
        if service_name != HEALTH:
            return self._work
        return self._watches if handler.response_streaming else self._checks

    def add_insecure_port(self, address: str) -> int:
        """Add a port in plain text to the wrapped server."""
        return self._server.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Add a port with TLS to the wrapped server."""
        return self._server.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        """Start the wrapped server."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Stop the wrapped server."""
        await self._server.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait for the end of the wrapped server."""
        return await self._server.wait_for_termination(timeout)


class _Methods(grpc.GenericRpcHandler):
    """Finds the handler of a method by its path; a call of an unknown method is recorded, and gRPC answers it.

    Parameters
    ----------
    handlers
        By path; methods may be added later.
    observer
        Receives calls of unknown methods.
    """

    def __init__(self, handlers: Mapping[str, Handler], observer: Observer) -> None:
        self._handlers = handlers
        self._started = observer.method_served(UNKNOWN_METHOD)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler, or `None` if there is no such method: gRPC then answers UNIMPLEMENTED."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None:
            self._started(())(grpc.StatusCode.UNIMPLEMENTED.name, None)
        return handler


def _no_check() -> None:
    pass
