"""Settings of ``qtr serve``; each field is a flag, a ``QTR_…`` variable and a default."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from qtr.settings import ProgramSettings


class ServerSettings(ProgramSettings):
    """Serves one model bundle over gRPC, batching across callers."""

    prog: ClassVar[str] = "qtr serve"

    bundle: Path | None = Field(default=None, description="Folder of the model bundle; the bundled student if absent.")
    host: str = Field(default="127.0.0.1", description="Address to listen on; only this machine can call the default.")
    port: int = Field(default=8001, ge=0, le=65535, description="gRPC port; 0 takes a free one and logs it.")
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
        default=8192,
        ge=1,
        description="Estimated tokens that one batch may gather across requests. A larger batch groups lengths better, "
        "but keeps a person waiting longer behind it.",
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
        default=16 << 20, ge=1024, description="Bytes of one gRPC message; gRPC refuses a larger one."
    )
    cache_bytes: int = Field(
        default=64 << 20, ge=0, description="Memory for what is kept per text (token ids, model state)."
    )
    drain_seconds: float = Field(
        default=30.0, gt=0, description="Time that accepted calls have to finish after SIGTERM or SIGINT."
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
