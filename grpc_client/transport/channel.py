"""Set-up of a channel to the service.

Calls go round robin over the addresses of the target, except

- addresses whose `grpc.health.v1` says NOT_SERVING (gRFC A17): a draining replica loses its traffic at once instead of
  at the next DNS answer;
- addresses that answered nothing, or only errors, for a while (outlier detection, gRFC A50): a frozen process keeps its
  connections, and its health watch stays quiet.

gRPC itself repeats a call that ended with UNAVAILABLE, up to three attempts within the call's deadline, and waits as
long as the server's `grpc-retry-pushback-ms` asks (gRFC A6). It stops while refusals outnumber answers ("throttling"),
so that `grpc_client.flow_control.aimd` notices an overload. Further attempts are made by `grpc_client.call`.
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
"""Attempts that gRPC itself makes in place of one; it allows at most 5."""

_SPREAD = {
    "outlier_detection_experimental": {
        "interval": "2s",
        "baseEjectionTime": "10s",
        "maxEjectionTime": "60s",
        # An overloaded service refuses everywhere; at least half of its addresses stay in use.
        "maxEjectionPercent": 50,
        "failurePercentageEjection": {
            # An overloaded server still answers some calls.
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
            # Each failure takes a token, ten answers give one back; repetitions stop at half of the tokens.
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
    """Return a channel, encrypted if `tls` is given, which connects at the first call.

    Never use a channel in another process than the one that opened it: gRPC's threads do not survive a fork.

    Parameters
    ----------
    target, retry, tls
        As in `ClientConfig`, but `target` is one that gRPC itself resolves.
    authority
        Name to expect in the certificate, if the target holds addresses only.
    number
        Channels with different numbers have connections of their own; gRPC shares those of equal channels.

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
    """Open a channel for a quarantined call: to one server, which has just said that it serves; no retries by gRPC.

    A health watch runs beside the call on the same connection. If it ends, the connection broke; if it goes on, the
    server only refused.

    Yields
    ------
    tuple
        The channel; and a function that returns, after a failed call, whether the connection broke.

    Raises
    ------
    grpc.RpcError
        If no server reports its health within `timeout_seconds`.
    """
    config = json.dumps({"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": True}}]})
    options: list[Option] = [("grpc.service_config", config), ("grpc.enable_retries", 0)]
    channel = _open(target, [*options, ("grpc.use_local_subchannel_pool", 1), *_common(authority)], tls)
    ended = Event()
    try:
        # As bytes: the generated code of the health service is in a package that only servers need. An empty request
        # asks for the server as a whole. Twice the timeout, so that the watch outlives the call.
        health: Any = channel.unary_stream(_WATCH)(b"", timeout=2 * timeout_seconds)  # type: ignore[arg-type]
        if _watch_began(health) and not health.add_callback(ended.set):
            ended.set()
        yield channel, lambda: ended.wait(_BROKEN_WITHIN_SECONDS)
    finally:
        channel.close()


def _watch_began(health: Any) -> bool:
    """Wait for the first message of a health watch; return False if the server has no health service."""
    try:
        return next(health, None) is not None
    except grpc.RpcError:
        if health.code() is grpc.StatusCode.UNIMPLEMENTED:
            return False
        raise


def _common(authority: str | None) -> list[Option]:
    options: list[Option] = [
        # DNS must not replace the service config above.
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # A lost connection makes gRPC resolve the name again, by default at most every 30 s: calls whose addresses were
        # all replaced within that time would wait for the rest of it.
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        # Finds a peer that vanished without closing. Servers answer pings below their minimum (30 s) with GOAWAY.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 0),
        # Finds a restarted server quickly; the "minimum" is the time that one connection attempt may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if authority is None:
        return options
    # The addresses are those of pods, which the proxy of a shell's environment does not lead to.
    return [*options, ("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]


def _open(target: str, options: list[Option], tls: TlsFiles | None) -> grpc.Channel:
    if needs_no_proxy(target):
        # gRPC sends even loopback traffic through the environment's proxy, unless no_proxy lists it.
        options = [*options, ("grpc.enable_http_proxy", 0)]
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, channel_credentials(tls), options=options)
