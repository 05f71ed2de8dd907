"""Who may call: a bearer token from a file, and the names in a client's certificate."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grpc_server.errors import PermissionDeniedError, StartupError, UnauthenticatedError
from grpc_server.transport.call import Call
from grpc_server.transport.file_signature import WatchedFiles, read_regular_file

log = logging.getLogger(__name__)

AUTHORIZATION = "authorization"
_MIN_CHARACTERS = 16
# RFC 6750, section 2.1: the characters of a bearer token.
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{_MIN_CHARACTERS},}}=*")
_SCHEME = "bearer"

Metadata = Iterable[tuple[str, str | bytes]]


class TokenFile:
    """The valid bearer tokens, one per line of a file.

    Every call checks whether the file has changed, and reads it again if so: an added line is valid at once, and a
    removed line invalid at once. A line that is not a token is ignored. A file without a token refuses every call. If
    the file cannot be read, the tokens stay as they are. To rotate, add the new token below the old one, distribute it,
    then remove the old one. Only digests are kept in memory.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    error
        Why the current file is not in use, or not all of it; empty if it is.

    Raises
    ------
    StartupError
        If the file cannot be read, holds no token, or has a line that is not a token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = WatchedFiles([path])
        self._lock = threading.Lock()
        self._digests: tuple[bytes, ...] = ()
        self.error = ""
        signature = self._file.changed()
        try:
            self._digests, error = _read(path)
        except OSError as failure:
            error = f"the token file {path} cannot be read: {failure.strerror}"
        if error or not self._digests:
            raise StartupError(error or f"the token file {path} holds no token")
        if signature is not None:
            self._file.mark_read(signature)

    def count(self) -> int:
        """Return the number of valid tokens."""
        self._refresh()
        return len(self._digests)

    def check(self, metadata: Metadata) -> None:
        """Check that the call's metadata have a valid token.

        Raises
        ------
        UnauthenticatedError
            If not.
        """
        self._refresh()
        given = [value for key, value in metadata if key == AUTHORIZATION]
        if not given:
            raise UnauthenticatedError("a bearer token is needed in the metadata field authorization")
        if len(given) > 1:
            raise UnauthenticatedError("the metadata field authorization may be given once")
        scheme, _, token = str(given[0]).partition(" ")
        if scheme.lower() != _SCHEME or not token:
            raise UnauthenticatedError("the metadata field authorization must be the word Bearer and a token")
        if not self._is_valid(token):
            raise UnauthenticatedError("the token is not valid")

    def _is_valid(self, token: str) -> bool:
        """Compare with every token, in constant time."""
        digest = _digest(token)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found

    def _refresh(self) -> None:
        if self._file.changed() is None:
            return
        with self._lock:  # metrics call this on another thread
            signature = self._file.changed()
            if signature is None:
                return
            try:
                digests, error = _read(self._path)
            except OSError as failure:
                # Retried in the next call: the file may become readable without changing.
                reason = f"the token file {self._path} cannot be read: {failure.strerror}"
                if reason != self.error:
                    log.error("token file not read, the last good one stays", extra={"reason": reason})
                self.error = reason
                return
            self._file.mark_read(signature)
            if (digests, error) != (self._digests, self.error):
                self._digests, self.error = digests, error
                self._log_state()

    def _log_state(self) -> None:
        tokens = len(self._digests)
        if self.error:
            log.error("token file has a line that is not a token", extra={"reason": self.error, "tokens": tokens})
        if not tokens:
            log.error("token file has no token, every call is refused", extra={"file": str(self._path)})
        elif not self.error:
            log.info("token file read again", extra={"tokens": tokens})


class Authenticator:
    """Checks that a caller has a valid token and, in mutual TLS, an allowed name.

    Parameters
    ----------
    tokens
        `None` requires no token.
    names
        Allowed names of client certificates; if empty, every certificate that the authorities signed.

    Attributes
    ----------
    tokens
        As given.
    """

    def __init__(self, tokens: TokenFile | None = None, names: Sequence[str] = ()) -> None:
        self.tokens = tokens
        self._names = names

    def check(self, call: Call) -> None:
        """Check that the caller may call.

        Raises
        ------
        UnauthenticatedError
            Without a valid token.
        PermissionDeniedError
            Without an allowed name.
        """
        if self.tokens is not None:
            self.tokens.check(call.metadata)
        if self._names:
            check_name(call.auth_context(), self._names)


def check_name(auth_context: Mapping[str, Iterable[bytes]], allowed: Sequence[str]) -> None:
    """Check that the client's certificate has one of the `allowed` names.

    Its subject alternative names count; the common name counts only if there are none (RFC 6125, 6.4.4).

    Raises
    ------
    PermissionDeniedError
        If it has none of them.
    """
    names = list(auth_context.get("x509_subject_alternative_name") or auth_context.get("x509_common_name") or ())
    if not any(name.decode(errors="replace") in allowed for name in names):
        raise PermissionDeniedError("the name in the client's certificate may not call this service")


def _read(path: Path) -> tuple[tuple[bytes, ...], str]:
    """Return the digests of the file's tokens, and the error of its first line that is not a token."""
    digests, error = [], ""
    for number, line in enumerate(read_regular_file(path).splitlines(), 1):
        token = line.strip().decode("ascii", "replace")
        if _TOKEN.fullmatch(token):
            digests.append(_digest(token))
        elif token and not error:
            error = (
                f"line {number} of the token file {path} is not a bearer token of at least {_MIN_CHARACTERS} letters, "
                "digits or . _ ~ + / - characters"
            )
    return tuple(digests), error


def _digest(token: str) -> bytes:
    # Digests have one length, so the time of a comparison does not reveal the length of a token either.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
