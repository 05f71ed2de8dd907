"""The caller of the relevance service: channels, limit, retries, batches. No Spark in it.

>>> with RelevanceClient(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
...     client.score("usb c cable", ["USB-C charging cable 2 m"]).titles[0].label
'relevant'
"""

from __future__ import annotations

from grpc_client.client import RelevanceClient
from grpc_client.config import ClientConfig, ModelRef, RetryPolicy, TlsFiles
from grpc_client.errors import (
    ClientClosedError,
    ClientError,
    ConfigError,
    MessageTooLargeError,
    NoAddressError,
    RequestRejectedError,
    ResponseMismatchError,
    ServerDiedError,
    ServerFaultError,
    TargetUnavailableError,
)
from grpc_client.flow_control.window import ordered_window
from grpc_client.results import FAILED, BatchScores, Limits, ModelInfo, QueryScores, RowFailure, TitleScore
from grpc_client.shared import shared_client
from grpc_client.stats import ClientStats

__all__ = [
    "FAILED",
    "BatchScores",
    "ClientClosedError",
    "ClientConfig",
    "ClientError",
    "ClientStats",
    "ConfigError",
    "Limits",
    "MessageTooLargeError",
    "ModelInfo",
    "ModelRef",
    "NoAddressError",
    "QueryScores",
    "RelevanceClient",
    "RequestRejectedError",
    "ResponseMismatchError",
    "RetryPolicy",
    "RowFailure",
    "ServerDiedError",
    "ServerFaultError",
    "TargetUnavailableError",
    "TitleScore",
    "TlsFiles",
    "ordered_window",
    "shared_client",
]
