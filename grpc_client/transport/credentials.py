"""Credentials of a client: certificates for TLS, and a bearer token that may change.

Settings hold file names only, so that no secret is pickled, printed or logged; each process reads the files itself.
"""

from __future__ import annotations

from pathlib import Path

import grpc

from grpc_client.config import TlsFiles
from grpc_client.errors import ConfigError


def channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Return the credentials of a channel, read from the files.

    Raises
    ------
    ConfigError
        If a file cannot be read.
    """
    ca, certificate, key = (None if path is None else _read(path) for path in (tls.ca, tls.certificate, tls.key))
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


class BearerToken:
    """The token in a file's first line; read at the first use, and again when a server rejects it.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._token: str | None = None

    def value(self) -> str:
        """Return the token.

        Raises
        ------
        ConfigError
            If the file cannot be read or holds no token.
        """
        if self._token is None:
            self._token = self._read()
        return self._token

    def has_changed(self, refused: str) -> bool:
        """Read the file again, and return whether its token differs from `refused`.

        Raises
        ------
        ConfigError
            If the file cannot be read or holds no token.
        """
        self._token = self._read()
        return self._token != refused

    def _read(self) -> str:
        lines = _read(self._path).decode("ascii", "replace").split()
        if not lines or not (lines[0].isascii() and lines[0].isprintable()):
            raise ConfigError(f"{self._path} holds no token: expected visible ASCII characters in its first line")
        return lines[0]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
