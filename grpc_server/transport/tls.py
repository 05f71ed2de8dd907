"""The server's certificate: checked before use, and reloaded when its files change.

gRPC asks for the certificate at every new connection. Open connections keep the certificate that they began with, so a
renewal closes none of them.
"""

from __future__ import annotations

import logging
import math
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import grpc

from grpc_server.errors import StartupError
from grpc_server.transport.file_signature import WatchedFiles, read_regular_file

log = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 10.0


class CertificateError(ValueError):
    """The files cannot be served with; the text is one sentence that names the file."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths of the PEM files: certificate chain, private key and, for mutual TLS, the authorities of the clients."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths that are set."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path is not None)


class ReloadingCertificate:
    """Supplies gRPC with the certificate, and with the new one after its files changed; an invalid one is not used.

    An invalid certificate is checked again after a while, because time alone may change the result: its validity may
    begin, a descriptor may become free.

    Parameters
    ----------
    files
        Paths of the certificate.

    Attributes
    ----------
    not_after
        When the first certificate expires.
    error
        Why the current files are not in use; empty if they are.

    Raises
    ------
    StartupError
        If the certificate is invalid.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._watched = WatchedFiles(files.paths)
        self._retry_at = math.inf
        self.error = ""
        signature = self._watched.changed()
        try:
            self._first, self.not_after, self._contents = load(files)
        except CertificateError as error:
            raise StartupError(str(error)) from None
        if signature is not None:
            self._watched.mark_read(signature)

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials for the server's port."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self.renewed,  # type: ignore[arg-type]  # None tells gRPC that nothing changed
            require_client_authentication=self._files.client_ca is not None,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new certificate if there is one; called by gRPC's threads at every handshake."""
        with self._lock:
            signature = self._watched.changed()
            if signature is None and monotonic() < self._retry_at:
                return None
            try:
                configuration, not_after, contents = load(self._files)
            except CertificateError as error:
                if str(error) != self.error:
                    log.error("new certificate refused, the old one stays", extra={"reason": str(error)})
                self.error = str(error)
                self._retry_at = monotonic() + _RETRY_SECONDS
                return None
            finally:
                if signature is not None:
                    self._watched.mark_read(signature)
            self.error, self._retry_at = "", math.inf
            if contents == self._contents:
                return None
            self._contents = contents
        log.info("new certificate in use", extra={"not_after": not_after})
        return configuration


def load(files: CertificateFiles) -> tuple[grpc.ServerCertificateConfiguration, str, list[bytes]]:
    """Read and check the files; return gRPC's configuration, the certificate's expiry, and the files' contents.

    Raises
    ------
    CertificateError
        If a file cannot be read or is not the expected PEM, the key belongs to another certificate, or the certificate
        is not valid now.
    """
    try:
        contents = _read(files)
        not_after = _check(files)
        same = _read(files) == contents
    except OSError as error:
        raise CertificateError(f"{error.filename or files.certificate} cannot be read: {error.strerror}") from None
    if not same:
        raise CertificateError(f"{files.certificate} or its key changed while it was read")
    certificate, key, *client_ca = contents
    configuration = grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=client_ca[0] if client_ca else None
    )
    return configuration, not_after, contents


def _check(files: CertificateFiles) -> str:
    """Check by a handshake in memory with a client that trusts this certificate alone; return its expiry."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, OpenSSL would ask the terminal for one.
        server.load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{files.key} is not the key of the certificate {files.certificate}") from None
        raise CertificateError(
            f"{files.certificate} and {files.key} are not a PEM certificate and its unencrypted PEM key"
        ) from None
    if files.client_ca is not None:
        _client_trusting(files.client_ca)
    client = _client_trusting(files.certificate)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        peer = _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(f"{files.certificate} cannot be served with: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise CertificateError(f"{files.certificate} cannot be served with: {error.reason}") from None
    return str(peer["notAfter"])


def _client_trusting(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise CertificateError(f"{path} holds no PEM certificate") from None
    return context


def _shake_hands(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> dict[str, object]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return dict(client.getpeercert() or {})


def _read(files: CertificateFiles) -> list[bytes]:
    return [read_regular_file(path) for path in files.paths]
