"""How a channel to the service is set up.

Calls go round robin over every address of the target, and only over those whose ``grpc.health.v1`` says SERVING: a
draining replica loses its traffic at once instead of at the next DNS answer. gRPC itself repeats a call that
UNAVAILABLE ended, up to three attempts within the call's deadline, and waits as long as the server's
``grpc-retry-pushback-ms`` asks (gRFC A6); the budget above that belongs to `grpc_client.retry`.
"""

from __future__ import annotations

import json

import grpc

from grpc_client.config import RetryPolicy, TlsFiles
from grpc_client.credentials import channel_credentials

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
SERVICE = "relevance.v1.RelevanceService"


def service_config(retry: RetryPolicy) -> str:
    """Give the channel's service config as JSON (gRFC A2, A6, A17)."""
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [
                {
                    "name": [{"service": SERVICE}],
                    "retryPolicy": {
                        "maxAttempts": 3,
                        "initialBackoff": f"{retry.initial_backoff_s:.3f}s",
                        "maxBackoff": f"{retry.max_backoff_s:.3f}s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
        }
    )


def open_channel(target: str, retry: RetryPolicy, tls: TlsFiles | None = None) -> grpc.Channel:
    """Open a channel, encrypted if `tls` is given; nothing is connected until the first call.

    Never use a channel in another process than the one that opened it: gRPC's threads do not survive a fork.

    Raises
    ------
    ConfigError
        If a file of `tls` cannot be read.
    """
    options = [
        ("grpc.service_config", service_config(retry)),
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
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, channel_credentials(tls), options=options)
