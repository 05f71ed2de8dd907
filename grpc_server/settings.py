"""Settings of `qtr serve`; each field is a flag, a `QTR_…` variable and a default."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from grpc_server.transport.limits import CALL_BYTES
from qtr_runtime.settings import ProgramSettings


class ServerSettings(ProgramSettings):
    """Serves one model bundle over gRPC, batching across callers."""

    prog: ClassVar[str] = "qtr serve"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    watch_bundle_seconds: float = Field(
        default=0.0,
        ge=0.0,
        description="Look this often whether the bundle's folder holds another version and swap to it; 0 swaps only "
        "on SIGHUP. A bundle that fails its checks is refused and the old one goes on serving. Put the new version "
        "in place by moving a folder or a link, never by writing into the folder that is served.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; only this machine can call the default.")
    port: int = Field(default=8001, ge=0, le=65535, description="gRPC port; 0 takes a free one and logs it.")
    metrics: bool = Field(default=True, description="Whether Prometheus may read metrics over HTTP.")
    metrics_host: str | None = Field(default=None, description="Address for /metrics; that of --host if absent.")
    metrics_port: int = Field(
        default=8002, ge=0, le=65535, description="HTTP port for /metrics; 0 takes a free one and logs it."
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Threads of one forward pass. Two servers of one thread outrun one server of two.",
    )
    micro_batch: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Rows of one forward pass. More is not faster once a step's matrices leave the core's cache.",
    )
    batch_tokens: int = Field(
        default=32768,
        ge=1,
        description="Estimated tokens that one batch may gather across requests. A larger batch groups lengths better, "
        "but keeps the first person who comes waiting longer behind it.",
    )
    mixed_batch_tokens: int = Field(
        default=2048, ge=1, description="The same for bulk batches while people ask, who wait behind them."
    )
    max_rows: int = Field(default=4096, ge=1, description="Rows that one request may hold.")
    max_queued_tokens: int = Field(
        default=1 << 20,
        ge=1,
        description="Estimated tokens that may wait in each lane. Above it callers are refused with a time to come "
        "back, instead of waiting for an answer that comes too late.",
    )
    max_text_bytes: int = Field(default=8192, ge=1, description="UTF-8 bytes of one text; a longer one fails its row.")
    max_message_bytes: int = Field(
        default=4 << 20,
        ge=1024,
        description="Bytes of one gRPC message; gRPC refuses a larger one.",
    )
    max_inflight_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="Bytes that the calls in progress may hold together: messages, answers, and 32 KiB for what each "
        "call costs. Above it callers are refused with a time to come back.",
    )
    max_arriving: int = Field(
        default=32,
        ge=1,
        description="Messages that may be on their way in at a time; others wait. Each may hold max-message-bytes.",
    )
    arrival_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Time for a request's message to arrive in full. While others wait for its place it has a second.",
    )
    max_connections: int = Field(default=1024, ge=1, description="Connections at a time; further ones are closed.")
    max_streams: int = Field(default=100, ge=1, description="Calls that one connection may have open at a time.")
    connection_seconds: float = Field(
        default=90.0,
        ge=0,
        description="Age at which a connection is asked to come anew, so that its client finds new replicas; varies by "
        "a tenth. 0 is never.",
    )
    connection_grace_seconds: float = Field(
        default=30.0, ge=0, description="Time that the calls of a connection past its age have to finish."
    )
    cache_bytes: int = Field(
        default=64 << 20, ge=0, description="Memory for what is kept per text (token ids, model state)."
    )
    title_cache_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Part of cache_bytes that is for titles; the rest is for queries. Little will do where pairs come "
        "title by title.",
    )
    score_cache_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory for the scores of pairs that were asked before, for each model version; 0 keeps none. "
        "Worth it where the same pairs are asked again; a nightly run asks each once.",
    )
    drain_seconds: float = Field(
        default=30.0, gt=0, description="Time that accepted calls have to finish after SIGTERM or SIGINT."
    )
    lame_duck_seconds: float = Field(
        default=0.3,
        ge=0.0,
        description="Time after SIGTERM or SIGINT in which new work is still taken in: clients that watch the health "
        "are told at once, and need a moment to turn to another replica. Part of drain-seconds, at most half of it.",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate chain; with tls-key it turns TLS on. Taken up anew when it "
        "changes.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's unencrypted private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities whose certificates clients must show (mutual TLS).",
    )
    tls_client_names: list[str] = Field(
        default=[],
        description="Names in client certificates that may call; repeat the flag for more. All that the authorities "
        "signed if absent.",
    )
    auth_token_file: Path | None = Field(
        default=None,
        description="File of bearer tokens, one a line, one of which every call but a health check must bear. Read "
        "again when it changes.",
    )
    reflection: bool = Field(default=True, description="Whether grpcurl may list and describe the services.")
    exit_on_stdin_close: bool = Field(
        default=False,
        description="Drain and exit when standard input closes: a server that belongs to a job ends with it.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object per line, or readable text; auto is text on a terminal."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level to log. No query or title is logged at any level."
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key are given together")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        if self.tls_client_names and self.tls_client_ca is None:
            raise ValueError("--tls-client-names needs --tls-client-ca")
        if self.max_inflight_bytes < self.max_message_bytes + CALL_BYTES:
            raise ValueError("--max-inflight-bytes must have room for one message of --max-message-bytes")
        return self
