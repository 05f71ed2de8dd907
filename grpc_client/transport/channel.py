"""How a channel to the service is set up.

Calls go round robin over every address of the target, but not over those whose `grpc.health.v1` says that they do not
serve (gRFC A17): a draining replica loses its traffic at once instead of at the next DNS answer. Nor over those that
answered nothing for a while, or nothing but errors (gRFC A50): a frozen process keeps its connections, and its health
watch stays quiet.

gRPC itself repeats a call that UNAVAILABLE ended, up to three attempts within the call's deadline, and waits as long as
the server's `grpc-retry-pushback-ms` asks (gRFC A6). It stops doing so while refusals outnumber answers
("throttling"), so that an overload reaches `grpc_client.flow_control.aimd` instead of being repeated away. The budget above that
belongs to `grpc_client.call`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import grpc

from grpc_client.config import RetryPolicy, TlsFiles
from grpc_client.target import needs_no_proxy
from grpc_client.transport.credentials import channel_credentials

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
SERVICE = "relevance.v1.RelevanceService"
ATTEMPTS = 3
"""Attempts that gRPC makes of one of ours, at most; gRPC itself allows no more than 5."""

_SPREAD = {
    "outlier_detection_experimental": {
        "interval": "2s",
        "baseEjectionTime": "10s",
        "maxEjectionTime": "60s",
        # An overloaded service refuses everywhere; half of it stays in use whatever happens.
        "maxEjectionPercent": 50,
        "failurePercentageEjection": {
            # A server that is merely full still answers some of the calls.
            "threshold": 90,
            "enforcementPercentage": 100,
            "minimumHosts": 2,
            "requestVolume": 2,
        },
        "childPolicy": [{"round_robin": {}}],
    }
}
_WATCH = "/grpc.health.v1.Health/Watch"
_BROKEN_WITHIN_SECONDS = 0.5

Option = tuple[str, Any]


def service_config(retry: RetryPolicy) -> str:
    """Return the channel's service config as JSON (gRFC A2, A6, A17, A50)."""
    return json.dumps(
        {
            "loadBalancingConfig": [_SPREAD],
            "healthCheckConfig": {"serviceName": ""},
            # Ten failures' worth of tokens; repetitions stop at half of them, and ten answers earn one back.
            "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
            "methodConfig": [
                {
                    "name": [{"service": SERVICE}],
                    "retryPolicy": {
                        "maxAttempts": ATTEMPTS,
                        "initialBackoff": f"{retry.initial_backoff_seconds:.3f}s",
                        "maxBackoff": f"{retry.max_backoff_seconds:.3f}s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
        }
    )


def open_channel(
    target: str, retry: RetryPolicy, tls: TlsFiles | None = None, *, authority: str | None = None, number: int = 0
) -> grpc.Channel:
    """Open a channel, encrypted if `tls` is given; nothing is connected until the first call.

    Never use a channel in another process than the one that opened it: gRPC's threads do not survive a fork.

    Parameters
    ----------
    target, retry, tls
        As in `ClientConfig`, but `target` is one that gRPC itself resolves.
    authority
        Name to expect in the certificate, where the target holds addresses only.
    number
        Channels with different numbers have connections of their own; gRPC lets equal ones share theirs.

    Raises
    ------
    ConfigError
        If a file of `tls` cannot be read.
    """
    options: list[Option] = [("grpc.service_config", service_config(retry)), ("qtr.channel_number", number)]
    return _open(target, [*options, *_common(authority)], tls)


@contextmanager
def isolated_channel(
    target: str, tls: TlsFiles | None, timeout_seconds: float, *, authority: str | None = None
) -> Iterator[tuple[grpc.Channel, Callable[[], bool]]]:
    """Open a channel for a call that may bring its server down: one server, seen to serve; no repetition by gRPC.

    A health watch runs beside the call, on the same connection. It tells a server that broke the connection from one
    that only refused.

    Yields
    ------
    tuple
        The channel; and a function that tells, after a failed call, whether the connection broke.

    Raises
    ------
    grpc.RpcError
        If no server tells its health within `timeout_seconds`.
    """
    config = json.dumps({"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]})
    options: list[Option] = [("grpc.service_config", config), ("grpc.enable_retries", 0)]
    channel = _open(target, [*options, ("grpc.use_local_subchannel_pool", 1), *_common(authority)], tls)
    ended = Event()
    try:
        # By bytes, for the generated code of the health service comes with a package that only servers need. An empty
        # request asks for the server as a whole. The watch outlives the call, whose time is the same once more.
        health: Any = channel.unary_stream(_WATCH)(b"", timeout=2 * timeout_seconds)  # type: ignore[arg-type]
        if _tells(health) and not health.add_callback(ended.set):
            ended.set()
        yield channel, lambda: ended.wait(_BROKEN_WITHIN_SECONDS)
    finally:
        channel.close()


def _tells(health: Any) -> bool:
    """Wait for the first word of a health watch; false if the server knows no such watch."""
    try:
        return next(health, None) is not None
    except grpc.RpcError:
        if health.code() is grpc.StatusCode.UNIMPLEMENTED:
            return False
        raise


def _common(authority: str | None) -> list[Option]:
    options: list[Option] = [
        # A name server must not replace the config above.
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # Notices a peer that vanished without closing. Servers answer pings below their minimum (30 s) with GOAWAY.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 0),
        # A restarted server is found again quickly; the "minimum" is the time one connection attempt may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if authority is None:
        return options
    # The addresses are pods', which Kubernetes told: what a shell names as a proxy does not lead to them.
    return [*options, ("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]


def _open(target: str, options: list[Option], tls: TlsFiles | None) -> grpc.Channel:
    if needs_no_proxy(target):
        # gRPC sends even loopback through the proxy that a shell names, unless no_proxy lists it.
        options = [*options, ("grpc.enable_http_proxy", 0)]
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, channel_credentials(tls), options=options)
