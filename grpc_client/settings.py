"""Settings that all programs which call a service share: TLS and the bearer token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from qtr_runtime.settings import ProgramSettings

if TYPE_CHECKING:
    from grpc_client.config import TlsFiles


class ClientSettings(ProgramSettings):
    """Base of the settings of programs that call a service."""

    tls: bool = Field(default=False, description="Encrypt the calls; the files below imply it.")
    tls_ca: Path | None = Field(
        default=None, description="PEM file of the certificate authorities to trust; the public ones if absent."
    )
    tls_cert: Path | None = Field(default=None, description="PEM file of the client's certificate, for mutual TLS.")
    tls_key: Path | None = Field(default=None, description="PEM file of its private key.")
    token_file: Path | None = Field(
        default=None, description="File whose first line is the bearer token that the service asks for."
    )

    @field_validator("target", check_fields=False)
    @classmethod
    def _check_target(cls, value: str | None) -> str | None:
        if value is not None:
            from grpc_client.errors import ConfigError
            from grpc_client.target import check_target

            try:
                check_target(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _check_certificate(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("a client certificate and its key are given together, or neither")
        return self

    def tls_files(self) -> TlsFiles | None:
        """Return the files for TLS, or None for plain text."""
        from grpc_client.config import TlsFiles

        files = TlsFiles(_name(self.tls_ca), _name(self.tls_cert), _name(self.tls_key))
        return files if self.tls or files != TlsFiles() else None

    def token_file_name(self) -> str | None:
        """Return the name of the token's file, or None."""
        return _name(self.token_file)


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)
