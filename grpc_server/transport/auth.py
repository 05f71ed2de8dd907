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
from grpc_server.transport.file_signature import Watched

log = logging.getLogger(__name__)

AUTHORIZATION = "authorization"
_LEAST_CHARACTERS = 16
# RFC 6750, section 2.1: the characters of a bearer token.
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{_LEAST_CHARACTERS},}}=*")
_SCHEME = "bearer"

Metadata = Iterable[tuple[str, str | bytes]]


class TokenFile:
    """The tokens that open the service: one a line, any of them will do.

    The file is looked at in every call and read again when it changed: its lines are what counts, so a new line admits
    and a removed line shuts out at once. A line that is no token opens nothing and harms no other; a file without a
    token shuts everybody out. Only a file that cannot be read leaves the tokens as they are. To rotate, write the new
    token below the old one, hand it out, then remove the old one. Only digests are kept.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    fault
        Why the file as it is now is not in use, or not wholly; empty if it is.

    Raises
    ------
    StartupError
        If it cannot be read, holds no token, or a line is no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = Watched([path])
        self._lock = threading.Lock()
        self._digests: tuple[bytes, ...] = ()
        self.fault = ""
        signature = self._file.changed()
        try:
            self._digests, fault = _read(path)
        except OSError as error:
            fault = f"the token file {path} cannot be read: {error.strerror}"
        if fault or not self._digests:
            raise StartupError(fault or f"the token file {path} holds no token")
        if signature is not None:
            self._file.mark_read(signature)

    def count(self) -> int:
        """Return how many tokens open the service now."""
        self._refresh()
        return len(self._digests)

    def check(self, metadata: Metadata) -> None:
        """Return if the call's metadata hold a token of the file.

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
        if not self._knows(token):
            raise UnauthenticatedError("the token is not valid")

    def _knows(self, token: str) -> bool:
        """Compare with every token, in a time that tells nothing about any of them."""
        digest = _digest(token)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found

    def _refresh(self) -> None:
        if self._file.changed() is None:
            return
        with self._lock:  # the metrics ask on another thread
            signature = self._file.changed()
            if signature is None:
                return
            try:
                digests, fault = _read(self._path)
            except OSError as error:
                # It is tried again in the next call: nothing may change in the file when it can be read again.
                if (fault := f"the token file {self._path} cannot be read: {error.strerror}") != self.fault:
                    log.error("token file not read, the last good one stays", extra={"reason": fault})
                self.fault = fault
                return
            self._file.mark_read(signature)
            if (digests, fault) != (self._digests, self.fault):
                self._digests, self.fault = digests, fault
                self._tell()

    def _tell(self) -> None:
        tokens = len(self._digests)
        if self.fault:
            log.error("token file has a line that opens nothing", extra={"reason": self.fault, "tokens": tokens})
        if not tokens:
            log.error("token file without a token, nobody may call", extra={"file": str(self._path)})
        elif not self.fault:
            log.info("token file read again", extra={"tokens": tokens})


class Callers:
    """Who may call: whoever bears a token of the file and, in mutual TLS, one of the names.

    Parameters
    ----------
    tokens
        `None` asks for no token.
    names
        Names of client certificates; none admits every certificate that the authorities signed.

    Attributes
    ----------
    tokens
        As given.
    """

    def __init__(self, tokens: TokenFile | None = None, names: Sequence[str] = ()) -> None:
        self.tokens = tokens
        self._names = names

    def check(self, call: Call) -> None:
        """Return if the caller may call.

        Raises
        ------
        UnauthenticatedError, PermissionDeniedError
            If not.
        """
        if self.tokens is not None:
            self.tokens.check(call.metadata)
        if self._names:
            check_name(call.auth_context(), self._names)


def check_name(auth_context: Mapping[str, Iterable[bytes]], allowed: Sequence[str]) -> None:
    """Return if the client's certificate bears one of the `allowed` names.

    Its subject alternative names count; only a certificate that has none is known by its common name (RFC 6125, 6.4.4).

    Raises
    ------
    PermissionDeniedError
        If it bears none of them.
    """
    names = list(auth_context.get("x509_subject_alternative_name") or auth_context.get("x509_common_name") or ())
    if not any(name.decode(errors="replace") in allowed for name in names):
        raise PermissionDeniedError("the name in the client's certificate may not call this service")


def _read(path: Path) -> tuple[tuple[bytes, ...], str]:
    """Return the digests of the file's tokens, and what is wrong with its first line that is none."""
    digests, fault = [], ""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        token = line.strip().decode("ascii", "replace")
        if _TOKEN.fullmatch(token):
            digests.append(_digest(token))
        elif token and not fault:
            fault = (
                f"line {number} of the token file {path} is no bearer token of at least {_LEAST_CHARACTERS} letters, "
                "digits or . _ ~ + / - characters"
            )
    return tuple(digests), fault


def _digest(token: str) -> bytes:
    # Of one length whatever is sent, so that not even the length of a token shows in the time of a comparison.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
