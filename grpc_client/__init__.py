"""The caller of the relevance service: channels, limit, retries, batches. No Spark in it.

>>> with RelevanceClient(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
...     client.score("usb c cable", ["USB-C charging cable 2 m"]).titles[0].label
'relevant'
"""

from __future__ import annotations

from grpc_client.answers import FAILED, BatchScores, Limits, ModelInfo, QueryScores, RowFailure, TitleScore
from grpc_client.client import RelevanceClient
from grpc_client.config import ClientConfig, ModelRef, RetryPolicy, TlsFiles
from grpc_client.errors import (
    ClientClosed,
    ClientError,
    ConfigError,
    MessageTooLarge,
    NoAddress,
    RequestRejected,
    ResponseMismatch,
    ServerDied,
    ServerFault,
    TargetUnavailable,
)
from grpc_client.shared import client_for
from grpc_client.stats import ClientStats
from grpc_client.window import ordered_window

__all__ = [
    "FAILED",
    "BatchScores",
    "ClientClosed",
    "ClientConfig",
    "ClientError",
    "ClientStats",
    "ConfigError",
    "Limits",
    "MessageTooLarge",
    "ModelInfo",
    "ModelRef",
    "NoAddress",
    "QueryScores",
    "RelevanceClient",
    "RequestRejected",
    "ResponseMismatch",
    "RetryPolicy",
    "RowFailure",
    "ServerDied",
    "ServerFault",
    "TargetUnavailable",
    "TitleScore",
    "TlsFiles",
    "client_for",
    "ordered_window",
]
