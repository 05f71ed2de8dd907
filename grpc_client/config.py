"""Settings of a client: frozen values that can be hashed (a cache key) and pickled (sent to Spark's executors)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from grpc_client.errors import ConfigError
from grpc_client.target import check_target

Priority = Literal["interactive", "bulk"]


@dataclass(frozen=True)
class RetryPolicy:
    """How long one call may be repeated, and how long to wait between attempts.

    Attributes
    ----------
    budget_seconds
        Seconds from the first attempt until the call is given up, waits included.
    initial_backoff_seconds
        Upper bound of the wait before the first repetition, in seconds. It doubles with every attempt; the wait itself
        is drawn evenly below the bound ("full jitter"), so that many clients do not come back in step.
    max_backoff_seconds
        Largest upper bound, in seconds. A server's pushback may ask for more and is obeyed.
    """

    budget_seconds: float = 60.0
    initial_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
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
        """Write it the way messages quote it."""
        return f"{self.name} {self.version}"

    def is_met_by(self, other: ModelRef) -> bool:
        """Whether `other` is this model, as far as this one says which."""
        return (self.name, self.version) == (other.name, other.version) and self.sha256 in {"", other.sha256}


@dataclass(frozen=True)
class TlsFiles:
    """Names of the PEM files for TLS; they are read by each process that calls.

    Attributes
    ----------
    ca
        Authorities that the server's certificate is checked against; `None` takes the public ones that gRPC brings.
    certificate, key
        The client's own certificate chain and its private key, both or neither; a server may ask for them (mutual TLS).
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse half a pair."""
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a client certificate and its key are given together, or neither")


@dataclass(frozen=True)
class ClientConfig:
    """Everything a client needs to know.

    Attributes
    ----------
    target
        Any gRPC target: `host:port`, `dns:///service:8001`, `ipv4:127.0.0.1:5001,127.0.0.1:5002`; or
        `k8s:///namespace/service:port`, whose addresses Kubernetes tells. All of them are used in turn.
    deadline_seconds
        Seconds one attempt may take at most before it is given up and repeated. Once answers have come, it is given up
        earlier: `grpc_client.flow_control.attempt_timeout`.
    in_flight
        Attempts that one process keeps in flight at the same time, at most: `grpc_client.flow_control.aimd` finds out how many the
        service bears.
    channels
        Channels of one process; each has its own connection to every address. More than one only helps where a
        connection, not a call, is what a balancer in between spreads.
    max_rows_per_rpc
        Pairs in one call, at most.
    max_bytes_per_rpc
        UTF-8 bytes of all texts in one call, at most, before repeated texts are folded.
    retry
        When a failed call is repeated.
    max_failed_ratio
        Share of rows on which the server may fail (0 to 1). Rows that fail are kept apart and the others go on; but a
        process that sees many more fail gives up: `grpc_client.stats`.
    model
        The model that must answer; `None` accepts whichever is served.
    max_text_bytes
        UTF-8 bytes of one text that every server must take. A shorter one that a server refuses by its own, lower limit
        counts as a row on which the server failed; `None` takes each server's limit for right.
    priority
        The lane that the server puts the calls into.
    tls
        Encrypts, and says whom to trust; `None` speaks plain text, as within one machine or a mesh that encrypts.
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
        """Refuse impossible values."""
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
