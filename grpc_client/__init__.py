"""The caller of the relevance service: channels, retries, batches. No Spark in it.

>>> with RelevanceClient(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
...     client.score("usb c cable", ["USB-C charging cable 2 m"]).titles[0].label
'relevant'
"""

from __future__ import annotations

from grpc_client.answers import BatchScores, Limits, ModelInfo, QueryScores, RowFailure, TitleScore
from grpc_client.client import RelevanceClient, client_for
from grpc_client.config import ClientConfig, ModelRef, RetryPolicy, TlsFiles
from grpc_client.errors import (
    ClientClosed,
    ClientError,
    ConfigError,
    MessageTooLarge,
    RequestRejected,
    ResponseMismatch,
    ServerFault,
    TargetUnavailable,
)
from grpc_client.window import ordered_window

__all__ = [
    "BatchScores",
    "ClientClosed",
    "ClientConfig",
    "ClientError",
    "ConfigError",
    "Limits",
    "MessageTooLarge",
    "ModelInfo",
    "ModelRef",
    "QueryScores",
    "RelevanceClient",
    "RequestRejected",
    "ResponseMismatch",
    "RetryPolicy",
    "RowFailure",
    "ServerFault",
    "TargetUnavailable",
    "TitleScore",
    "TlsFiles",
    "client_for",
    "ordered_window",
]
