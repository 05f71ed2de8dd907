"""Settings of `qtr serve`; each field is a flag and a `QTR_…` variable with a default."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from grpc_server.transport.limits import CALL_BYTES
from qtr_runtime.settings import ProgramSettings

# gRPC's options are C integers, its times milliseconds.
_MAX_INT: Final = (1 << 31) - 1
_MAX_SECONDS: Final = 2_000_000


class ServerSettings(ProgramSettings):
    """Serves one model bundle over gRPC, batching across callers."""

    prog: ClassVar[str] = "qtr serve"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    watch_bundle_seconds: float = Field(
        default=0.0,
        ge=0.0,
        description="Interval at which the bundle's folder is checked for another version, which is then loaded; 0 "
        "loads one only on SIGHUP. A bundle that fails its checks is refused, and the old one keeps serving. Replace "
        "the folder or a link to it; never write into the folder that is served.",
    )
    host: str = Field(
        default="127.0.0.1", description="Address to listen on; the default is reachable from this machine only."
    )
    port: int = Field(default=8001, ge=0, le=65535, description="gRPC port; 0 chooses a free one and logs it.")
    metrics: bool = Field(
        default=True, description="Whether to serve Prometheus metrics, /readyz and /livez over HTTP."
    )
    metrics_host: str | None = Field(
        default=None, description="Address for /metrics, /readyz and /livez; that of --host if absent."
    )
    metrics_port: int = Field(
        default=8002,
        ge=0,
        le=65535,
        description="HTTP port for /metrics, /readyz and /livez; 0 chooses a free one and logs it.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Threads of one forward pass. Two servers with one thread are faster than one server with two.",
    )
    micro_batch: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Rows of one forward pass. More is not faster once a step's matrices do not fit into the core's "
        "cache.",
    )
    batch_tokens: int = Field(
        default=32768,
        ge=1,
        description="Estimated tokens of one batch, across requests. A larger batch groups lengths better, but an "
        "interactive call that arrives meanwhile waits longer for it to end.",
    )
    mixed_batch_tokens: int = Field(
        default=2048, ge=1, description="The same for bulk batches while there is interactive traffic."
    )
    max_rows: int = Field(default=4096, ge=1, description="Rows of one request.")
    max_queued_tokens: int = Field(
        default=1 << 20,
        ge=1,
        description="Estimated tokens that may wait in each lane. Calls above it are refused with pushback, instead "
        "of waiting for an answer that would be too late.",
    )
    max_explanations: int = Field(
        default=2,
        ge=0,
        description="Explanations computed at a time; others are refused with pushback. 0 offers none.",
    )
    max_explanation_pairs: int = Field(
        default=1536,
        ge=1,
        description="Cost of one explanation, in pairs; a part of a text that is read for it counts as 8. More makes "
        "the contributions in long texts more precise. A few orders of the words are sampled in any case.",
    )
    max_text_bytes: int = Field(
        default=8192, ge=1, description="UTF-8 bytes of one text; a row with a longer text gets a row error."
    )
    max_message_bytes: int = Field(
        default=4 << 20,
        ge=1024,
        le=_MAX_INT,
        description="Bytes of one gRPC message; gRPC refuses larger ones.",
    )
    max_inflight_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="Bytes that all calls in progress may hold: messages, answers, and 32 KiB for each call itself. "
        "Calls above it are refused with pushback.",
    )
    max_arriving: int = Field(
        default=32,
        ge=1,
        description="Messages received at a time; others wait for a slot. Each may hold max-message-bytes.",
    )
    arrival_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Time for a request's message to arrive completely; one second while others wait for its slot.",
    )
    max_connections: int = Field(
        default=1024, ge=1, le=_MAX_INT, description="Connections at a time; further ones are closed."
    )
    max_streams: int = Field(default=100, ge=1, le=_MAX_INT, description="Calls open at a time on one connection.")
    connection_seconds: float = Field(
        default=90.0,
        ge=0,
        le=_MAX_SECONDS,
        description="Age at which a client is asked to reconnect, so that it finds new replicas; varies by a tenth. 0 "
        "is never.",
    )
    connection_grace_seconds: float = Field(
        default=30.0,
        ge=0,
        le=_MAX_SECONDS,
        description="Time that open calls have to finish on a connection that reached its age.",
    )
    cache_bytes: int = Field(default=64 << 20, ge=0, description="Memory for cached texts (token ids, model state).")
    title_cache_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Part of cache-bytes that is for titles; the rest is for queries. A small part suffices if pairs "
        "arrive ordered by title.",
    )
    score_cache_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory for cached scores, for each model version; 0 disables the cache. Useful if the same pairs "
        "are requested again; a nightly run requests each pair once.",
    )
    drain_seconds: float = Field(
        default=30.0, gt=0, description="Time limit for finishing accepted calls after SIGTERM or SIGINT."
    )
    lame_duck_seconds: float = Field(
        default=0.3,
        ge=0.0,
        description="Lame-duck time after SIGTERM or SIGINT: health reports NOT_SERVING while new calls are still "
        "accepted, so that balancing clients can move away. Counts towards drain-seconds, at most half of it.",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate chain; with tls-key it enables TLS. Reloaded when it "
        "changes.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's unencrypted private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign client certificates; requires clients to present one "
        "(mutual TLS).",
    )
    tls_client_names: list[str] = Field(
        default=[],
        description="Allowed names of client certificates; repeat the flag for more. If absent, every certificate "
        "that the authorities signed.",
    )
    auth_token_file: Path | None = Field(
        default=None,
        description="File of valid bearer tokens, one per line; every call but a health check needs one. Reloaded "
        "when it changes.",
    )
    reflection: bool = Field(
        default=True,
        description="Whether to offer server reflection, by which grpcurl lists and describes the services.",
    )
    exit_on_stdin_close: bool = Field(
        default=False,
        description="Drain and exit when standard input closes, so that a server started by a job ends with the job.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="JSON lines or readable text; auto is text on a terminal and JSON otherwise."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level to log. Queries and titles are not logged at any level."
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key are given together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        if self.tls_client_names and self.tls_client_ca is None:
            raise ValueError("--tls-client-names needs --tls-client-ca")
        if self.max_inflight_bytes < self.max_message_bytes + CALL_BYTES:
            raise ValueError("--max-inflight-bytes must have room for one message of --max-message-bytes")
        return self
