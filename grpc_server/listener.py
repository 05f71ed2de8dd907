"""The port: gRPC's options for it, the limits and checks of its calls, its certificate, and binding its address."""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import dataclass
from typing import Final

import grpc.aio

from grpc_server.errors import StartupError
from grpc_server.settings import ServerSettings
from grpc_server.transport.admission import AdmissionLimits
from grpc_server.transport.auth import Authenticator, TokenFile
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.health_admission import HealthAdmission
from grpc_server.transport.limits import (
    CALL_BYTES,
    HEADER_BYTES,
    SMALL_MESSAGE_BYTES,
    MemoryBudget,
    ReceiveSlots,
)
from grpc_server.transport.tls import CertificateFiles, ReloadingCertificate

log = logging.getLogger(__name__)

# A TLS handshake, or HTTP/2's first frames, take milliseconds; gRPC's own limit is two minutes.
_HANDSHAKE_MS: Final = 10_000
# Headers of one call, each counted with 32 bytes more. With gRPC's default, calls between 8 and 16 KiB fail at random.
_METADATA_BYTES: Final = 8 << 10
# Bytes of a message that a peer may send before they are read.
_WINDOW_BYTES: Final = 64 << 10
_NEVER_MS: Final = (1 << 31) - 1
# Calls that wait in gRPC's core for the event loop, in each of its queues: health checks, health watches, all others.
_QUEUED_CALLS: Final = 1000
# A health check, the headers that an honest one may have on its way through proxies, and its message.
_HEALTH_CALL_BYTES: Final = CALL_BYTES + 16 * HEADER_BYTES + SMALL_MESSAGE_BYTES
# A balancing client holds one watch on its connection; a proxy's connection carries those of many clients.
_HEALTH_CALLS_PER_CONNECTION: Final = 16
# Checks in progress that all connections share, beyond the one that each has reserved.
_POOLED_CHECKS: Final = 128
# An honest check arrives whole, with its call. While others wait, a check that does not is cancelled after this time.
_HEALTH_SLOTS: Final = 8
_HEALTH_PATIENCE_SECONDS: Final = 0.025


@dataclass(frozen=True, slots=True)
class Transport:
    """Everything between the port and the services, built from the settings.

    Attributes
    ----------
    channel_options
        Options for `grpc.aio.server`.
    work, checks, watches
        Limits for calls, for health checks, and for streams of these; none can use up those of another kind.
    backlog
        Refuses calls before gRPC drops any.
    authenticator
        Checks who calls.
    certificate
        The server's certificate; `None` in plain text.
    """

    channel_options: list[tuple[str, int]]
    work: AdmissionLimits
    checks: HealthAdmission
    watches: HealthAdmission
    backlog: Backlog
    authenticator: Authenticator
    certificate: ReloadingCertificate | None


def build_transport(settings: ServerSettings) -> Transport:
    """Return the transport that `settings` describe.

    Raises
    ------
    StartupError
        If the token file or the certificate cannot be used.
    """
    return Transport(
        channel_options=_channel_options(settings),
        work=AdmissionLimits(
            MemoryBudget(settings.max_inflight_bytes), ReceiveSlots(settings.max_arriving, settings.arrival_seconds)
        ),
        checks=_health_limits(settings, pooled_calls=_POOLED_CHECKS),
        watches=_health_limits(settings, pooled_calls=settings.max_connections),
        backlog=Backlog(_QUEUED_CALLS),
        authenticator=Authenticator(
            TokenFile(settings.auth_token_file) if settings.auth_token_file else None, settings.tls_client_names
        ),
        certificate=_certificate(settings),
    )


def bind(server: grpc.aio.Server, host: str, port: int, transport: Transport) -> str:
    """Listen on `host` and `port` (0 for a free one), and return `host:port`.

    Raises
    ------
    StartupError
        If the address cannot be bound.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_keep_record)
    shown = f"[{host}]" if ":" in host else host
    certificate = transport.certificate
    try:
        _try_address(host, port)
        if certificate is None:
            bound = server.add_insecure_port(f"{shown}:{port}")
        else:
            bound = server.add_secure_port(f"{shown}:{port}", certificate.credentials())
    except (RuntimeError, OSError):
        raise StartupError(
            f"cannot listen on {shown}:{port}: the address is not this machine's or the port is taken"
        ) from None
    address = f"{shown}:{bound}"
    if certificate is not None:
        log.info("certificate in use", extra={"not_after": certificate.not_after})
    elif not is_loopback(host):
        if transport.authenticator.tokens is None:
            log.warning("listening beyond this machine without TLS or a token", extra={"address": address})
        else:
            log.warning("tokens travel beyond this machine without TLS", extra={"address": address})
    return address


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # another name may resolve to any address


def _channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return gRPC's options for the port; `docs/security.md` says what each bound adds up to."""
    age_ms = round(settings.connection_seconds * 1000) or _NEVER_MS
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would each get some of the connections; the second must fail instead.
        ("grpc.so_reuseport", 0),
        # Callers that keep a quiet connection alive ping once a minute; gRPC's default would close such connections.
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that vanished without closing its connection is noticed by an unanswered ping.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A client that has to reconnect resolves its target again, and finds new replicas.
        ("grpc.max_connection_age_ms", age_ms),
        ("grpc.max_connection_age_grace_ms", round(settings.connection_grace_seconds * 1000)),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        # By default the window grows with the bandwidth, up to megabytes of unread message for each stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        # Core drops some of the queued calls from the first number on and all from the second on; with equal numbers it
        # drops none below the bound.
        ("grpc.server.max_pending_requests", _QUEUED_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _QUEUED_CALLS),
    ]


def _health_limits(settings: ServerSettings, pooled_calls: int) -> HealthAdmission:
    slots = ReceiveSlots(
        _HEALTH_SLOTS,
        settings.arrival_seconds,
        patience=_HEALTH_PATIENCE_SECONDS,
        max_waiting=settings.max_connections + pooled_calls,
    )
    return HealthAdmission(
        slots,
        own_bytes=_HEALTH_CALL_BYTES,
        max_bytes=_HEALTH_CALLS_PER_CONNECTION * _HEALTH_CALL_BYTES,
        pool_bytes=pooled_calls * _HEALTH_CALL_BYTES,
    )


def _certificate(settings: ServerSettings) -> ReloadingCertificate | None:
    if not (settings.tls_cert and settings.tls_key):
        return None
    return ReloadingCertificate(CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


def _try_address(host: str, port: int) -> None:
    """Raise `OSError` if the address cannot be bound: gRPC would raise as well, but would first write to stderr."""
    failure: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                failure = error
            else:
                return
    if failure is not None:
        raise failure


def _keep_record(record: logging.LogRecord) -> bool:
    """Drop the error and traceback that gRPC logs when a caller leaves before its answer: not a fault of the server."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")
