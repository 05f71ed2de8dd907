"""The client of the relevance service: channels, concurrency limit, retries, batches. It does not need Spark.

>>> with RelevanceClient(ClientConfig("localhost:8001")) as client:  # doctest: +SKIP
...     client.score("usb c cable", ["USB-C charging cable 2 m"]).titles[0].label
'relevant'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from grpc_client.results import (
        FAILED,
        BatchScores,
        Explanation,
        Limits,
        ModelInfo,
        QueryScores,
        RowError,
        TitleScore,
        WordContribution,
    )
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
    "Explanation",
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
    "RowError",
    "ServerDiedError",
    "ServerFaultError",
    "TargetUnavailableError",
    "TitleScore",
    "TlsFiles",
    "WordContribution",
    "ordered_window",
    "shared_client",
]

_MODULES = {
    "BatchScores": "grpc_client.results",
    "ClientClosedError": "grpc_client.errors",
    "ClientConfig": "grpc_client.config",
    "ClientError": "grpc_client.errors",
    "ClientStats": "grpc_client.stats",
    "ConfigError": "grpc_client.errors",
    "Explanation": "grpc_client.results",
    "FAILED": "grpc_client.results",
    "Limits": "grpc_client.results",
    "MessageTooLargeError": "grpc_client.errors",
    "ModelInfo": "grpc_client.results",
    "ModelRef": "grpc_client.config",
    "NoAddressError": "grpc_client.errors",
    "QueryScores": "grpc_client.results",
    "RelevanceClient": "grpc_client.client",
    "RequestRejectedError": "grpc_client.errors",
    "ResponseMismatchError": "grpc_client.errors",
    "RetryPolicy": "grpc_client.config",
    "RowError": "grpc_client.results",
    "ServerDiedError": "grpc_client.errors",
    "ServerFaultError": "grpc_client.errors",
    "TargetUnavailableError": "grpc_client.errors",
    "TitleScore": "grpc_client.results",
    "TlsFiles": "grpc_client.config",
    "WordContribution": "grpc_client.results",
    "ordered_window": "grpc_client.flow_control.window",
    "shared_client": "grpc_client.shared",
}


def __getattr__(name: str) -> Any:
    # gRPC is imported at the first use, so that `--help` is quick.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
