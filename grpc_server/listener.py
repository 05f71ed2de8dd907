"""The port: where it listens, who can read along, and what one connection may ask of gRPC."""

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
from grpc_server.transport.auth import Callers, TokenFile
from grpc_server.transport.backlog import Backlog
from grpc_server.transport.health_admission import HealthAdmission
from grpc_server.transport.limits import CALL_BYTES, SMALL_MESSAGE_BYTES, MemoryBudget, ReceiveSlots
from grpc_server.transport.tls import CertificateFiles, ReloadingCertificate

log = logging.getLogger(__name__)

# A TLS handshake, or HTTP/2's first frames, take milliseconds; gRPC's own limit is two minutes.
_HANDSHAKE_MS: Final = 10_000
# Headers of one call. gRPC's default drops some calls between 8 and 16 KiB by chance; here the line is sharp.
_METADATA_BYTES: Final = 16 << 10
# What a peer may send of a message before it is read.
_WINDOW_BYTES: Final = 64 << 10
_NEVER_MS: Final = (1 << 31) - 1
# What gRPC's core lets wait unless told otherwise, though it begins to drop calls at random there.
_LEAST_WAITING: Final = 1000
# A health check and its message, which names a service.
_HEALTH_CALL_BYTES: Final = CALL_BYTES + SMALL_MESSAGE_BYTES
# A balancing client holds one watch on its connection; a proxy's connection carries those of many clients.
_HEALTH_CALLS_PER_CONNECTION: Final = 16
# Checks that connections may have in progress beyond the one that each has room for.
_POOLED_CHECKS: Final = 128
# An honest check comes whole, with its call. While others wait, one that does not is given up after a moment.
_HEALTH_PLACES: Final = 8
_HEALTH_PATIENCE_SECONDS: Final = 0.025


def channel_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return gRPC's own settings for the port; `docs/security.md` says what each bound adds up to."""
    age_ms = round(settings.connection_seconds * 1000) or _NEVER_MS
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would each get some of the connections; the second must fail instead.
        ("grpc.so_reuseport", 0),
        # Callers that keep a quiet connection alive ping once a minute; gRPC's own limit would cut them off.
        ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that vanished without a word is noticed by an unanswered ping.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A client that is asked to come anew looks its target up again, and finds the replicas that are new.
        ("grpc.max_connection_age_ms", age_ms),
        ("grpc.max_connection_age_grace_ms", round(settings.connection_grace_seconds * 1000)),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        # The window grows with the bandwidth unless told not to, up to megabytes of unread message for each stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        # Calls of one method that wait for the event loop. Core would drop some of them from the first number on, and
        # all from the second on; equal numbers make the line sharp.
        ("grpc.server.max_pending_requests", _most_waiting(settings)),
        ("grpc.server.max_pending_requests_hard_limit", _most_waiting(settings)),
    ]


def backlog(settings: ServerSettings) -> Backlog:
    """Return what counts the calls that wait in gRPC, and refuses calls before gRPC drops any."""
    return Backlog(_most_waiting(settings))


def _most_waiting(settings: ServerSettings) -> int:
    """Return how many calls may wait: as many as may be in progress."""
    return max(_LEAST_WAITING, settings.max_inflight_bytes // CALL_BYTES)


@dataclass(frozen=True, slots=True)
class Rooms:
    """Room for calls, for health checks, and for streams of these."""

    work: AdmissionLimits
    checks: HealthAdmission
    watches: HealthAdmission


def rooms(settings: ServerSettings) -> Rooms:
    """Make room for calls of each kind; none can take another's."""
    return Rooms(
        work=AdmissionLimits(
            MemoryBudget(settings.max_inflight_bytes), ReceiveSlots(settings.max_arriving, settings.arrival_seconds)
        ),
        checks=_health_room(settings, pool=_POOLED_CHECKS),
        watches=_health_room(settings, pool=settings.max_connections),
    )


def _health_room(settings: ServerSettings, pool: int) -> HealthAdmission:
    arrivals = ReceiveSlots(
        _HEALTH_PLACES,
        settings.arrival_seconds,
        patience=_HEALTH_PATIENCE_SECONDS,
        waiting=settings.max_connections + pool,
        first_come=True,
    )
    return HealthAdmission(
        arrivals,
        own=_HEALTH_CALL_BYTES,
        most=_HEALTH_CALLS_PER_CONNECTION * _HEALTH_CALL_BYTES,
        pool=pool * _HEALTH_CALL_BYTES,
    )


def callers(settings: ServerSettings) -> Callers:
    """Say who may call.

    Raises
    ------
    StartupError
        If the token file cannot be used.
    """
    tokens = TokenFile(settings.auth_token_file) if settings.auth_token_file else None
    return Callers(tokens, settings.tls_client_names)


def certificate(settings: ServerSettings) -> ReloadingCertificate | None:
    """Return the certificate to serve with, `None` in plain text.

    Raises
    ------
    StartupError
        If it cannot be served with.
    """
    if not (settings.tls_cert and settings.tls_key):
        return None
    return ReloadingCertificate(CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


def bind(server: grpc.aio.Server, settings: ServerSettings, certificate: ReloadingCertificate | None) -> str:
    """Listen, and return `host:port`.

    Raises
    ------
    StartupError
        If the address cannot be bound.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        _try_address(settings.host, settings.port)
        if certificate is None:
            port = server.add_insecure_port(f"{host}:{settings.port}")
        else:
            port = server.add_secure_port(f"{host}:{settings.port}", certificate.credentials())
    except (RuntimeError, OSError):
        raise StartupError(
            f"cannot listen on {host}:{settings.port}: the address is not this machine's or the port is taken"
        ) from None
    address = f"{host}:{port}"
    if certificate is not None:
        log.info("certificate in use", extra={"not_after": certificate.not_after})
    elif not is_loopback(settings.host):
        if settings.auth_token_file is None:
            log.warning("listening beyond this machine without TLS or a token", extra={"address": address})
        else:
            log.warning("tokens travel beyond this machine without TLS", extra={"address": address})
    return address


def _try_address(host: str, port: int) -> None:
    """Fail as gRPC would if the address cannot be bound; but gRPC writes to stderr first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for last, (family, kind, protocol, _, address) in enumerate(found, 1 - len(found)):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                if not last:
                    raise
            else:
                return


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the error and traceback that gRPC logs whenever a caller left before its answer: no fault of ours."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # another name may stand for any address
