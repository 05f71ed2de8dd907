"""Settings of a client: frozen values that can be hashed (a cache key) and pickled (sent to Spark's executors)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from grpc_client.errors import ConfigError
from grpc_client.target import check_target

Priority = Literal["interactive", "bulk"]
PRIORITY_KEY = "x-priority"
"""Metadata key of a call's lane."""


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of the repetition of one call.

    Attributes
    ----------
    budget_seconds
        Seconds from the first attempt until the call is given up, waits included.
    initial_backoff_seconds
        Upper bound of the wait before the first repetition. It doubles with each attempt; the wait is drawn uniformly
        below the bound ("full jitter"), so that many clients do not return in step.
    max_backoff_seconds
        Largest upper bound. A server's pushback may ask for more and is obeyed.
    """

    budget_seconds: float = 60.0
    initial_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.budget_seconds <= 0:
            raise ConfigError(f"the retry budget must be more than 0 seconds, not {self.budget_seconds:g}")
        if not 0 < self.initial_backoff_seconds <= self.max_backoff_seconds:
            raise ConfigError(
                "the initial backoff must be more than 0 seconds and at most the maximum backoff, "
                f"not {self.initial_backoff_seconds:g} of {self.max_backoff_seconds:g}"
            )


@dataclass(frozen=True)
class ModelRef:
    """Name and version of a model, and the SHA-256 of its bundle if that is known; prints as `name version`."""

    name: str
    version: str
    sha256: str = ""

    def __str__(self) -> str:
        """Return the form that messages quote."""
        return f"{self.name} {self.version}"

    def is_met_by(self, other: ModelRef) -> bool:
        """Return whether `other` has this name and version, and this SHA-256 if one is set."""
        return (self.name, self.version) == (other.name, other.version) and self.sha256 in {"", other.sha256}


@dataclass(frozen=True)
class TlsFiles:
    """Names of the PEM files for TLS; each process that calls reads them itself.

    Attributes
    ----------
    ca
        Certificate authorities to trust; None for the public ones that gRPC brings.
    certificate, key
        The client's certificate chain and its private key, both or neither, for mutual TLS.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        """Check that certificate and key come together."""
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a client certificate and its key are given together, or neither")


@dataclass(frozen=True)
class ClientConfig:
    """Settings of a client.

    Attributes
    ----------
    target
        Any gRPC target: `host:port`, `dns:///service:8001`, `ipv4:127.0.0.1:5001,127.0.0.1:5002`; or
        `k8s:///namespace/service:port`, whose addresses come from Kubernetes. Calls go to all addresses in turn.
    deadline_seconds
        Longest timeout of one attempt. Once answers have come, the timeout is shorter:
        `grpc_client.flow_control.attempt_timeout`.
    in_flight
        Largest limit on the attempts in flight of one process; `grpc_client.flow_control.aimd` moves the limit.
    channels
        Channels of one process; each has its own connection to every address. More than one helps only where a load
        balancer spreads connections instead of calls.
    max_rows_per_rpc
        Pairs in one call, at most.
    max_bytes_per_rpc
        UTF-8 bytes of all texts in one call, at most, repeated texts counted each time.
    retry
        When a failed call is repeated.
    max_failed_ratio
        Share of rows on which the server may fail, 0 to 1. A process that sees more fail gives up:
        `grpc_client.stats`.
    model
        The model that must answer; None for any.
    max_text_bytes
        UTF-8 bytes of one text that every server must accept. A row that a server refuses by a lower limit counts as a
        row on which the server failed. None: each server's own limit holds.
    priority
        The server's lane for the calls.
    tls
        Files for TLS; None for plain text, as within one machine or a mesh that encrypts.
    token_file
        Name of a file whose first line is the bearer token that the server asks for.
    """

    target: str
    deadline_seconds: float = 10.0
    in_flight: int = 4
    channels: int = 1
    max_rows_per_rpc: int = 256
    max_bytes_per_rpc: int = 512 * 1024
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    max_failed_ratio: float = 0.01
    model: ModelRef | None = None
    max_text_bytes: int | None = None
    priority: Priority = "bulk"
    tls: TlsFiles | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_target(self.target)
        if self.deadline_seconds <= 0:
            raise ConfigError(f"the deadline must be more than 0 seconds, not {self.deadline_seconds:g}")
        for name in ("in_flight", "channels", "max_rows_per_rpc", "max_bytes_per_rpc"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_text_bytes is not None and self.max_text_bytes < 1:
            raise ConfigError(f"max_text_bytes must be at least 1, not {self.max_text_bytes}")
        if not 0 <= self.max_failed_ratio <= 1:
            raise ConfigError(f"max_failed_ratio must be from 0 to 1, not {self.max_failed_ratio:g}")
