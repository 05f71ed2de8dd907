"""Who may call: a bearer token from a file, and the names in a client's certificate."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grpc_server.calls import Call
from grpc_server.errors import PermissionDeniedError, StartupError, UnauthenticatedError
from grpc_server.files import signature

log = logging.getLogger(__name__)

AUTHORIZATION = "authorization"
_LEAST_CHARACTERS = 16
# RFC 6750, section 2.1: the characters of a bearer token.
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{_LEAST_CHARACTERS},}}=*")
_SCHEME = "bearer"

Metadata = Iterable[tuple[str, str | bytes]]


class TokenFile:
    """The tokens that open the service: one a line, any of them will do.

    The file is looked at in every call and read again when it changed, so a new line admits and a removed line shuts
    out at once. To rotate, write the new token below the old one, hand it out, then remove the old one. Only digests
    are kept.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    StartupError
        If it cannot be read, holds no token, or a line is no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = signature(path)
        try:
            self._digests = _read(path)
        except ValueError as error:
            raise StartupError(str(error)) from None

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
        now = signature(self._path)
        if now == self._seen:
            return
        self._seen = now
        try:
            self._digests = _read(self._path)
        except ValueError as error:
            log.warning("token file refused, the old tokens stay", extra={"reason": str(error)})
        else:
            log.info("token file read again", extra={"tokens": len(self._digests)})


class Callers:
    """Who may call: whoever bears a token of the file and, in mutual TLS, one of the names.

    Parameters
    ----------
    tokens
        ``None`` asks for no token.
    names
        Names of client certificates; none admits every certificate that the authorities signed.
    """

    def __init__(self, tokens: TokenFile | None = None, names: Sequence[str] = ()) -> None:
        self._tokens = tokens
        self._names = names

    def check(self, call: Call) -> None:
        """Return if the caller may call.

        Raises
        ------
        UnauthenticatedError, PermissionDeniedError
            If not.
        """
        if self._tokens is not None:
            self._tokens.check(call.metadata)
        if self._names:
            check_name(call.auth_context(), self._names)


def check_name(auth_context: Mapping[str, Iterable[bytes]], allowed: Sequence[str]) -> None:
    """Return if the client's certificate bears one of the ``allowed`` names.

    Its subject alternative names count; only a certificate that has none is known by its common name (RFC 6125, 6.4.4).

    Raises
    ------
    PermissionDeniedError
        If it bears none of them.
    """
    names = list(auth_context.get("x509_subject_alternative_name") or auth_context.get("x509_common_name") or ())
    if not any(name.decode(errors="replace") in allowed for name in names):
        raise PermissionDeniedError("the name in the client's certificate may not call this service")


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise ValueError(f"the token file {path} cannot be read: {reason}") from None
    tokens = []
    for number, line in enumerate(text.splitlines(), 1):
        token = line.strip()
        if token and not _TOKEN.fullmatch(token):
            raise ValueError(
                f"line {number} of the token file {path} is no bearer token of at least {_LEAST_CHARACTERS} letters, "
                "digits or . _ ~ + / - characters"
            )
        if token:
            tokens.append(_digest(token))
    if not tokens:
        raise ValueError(f"the token file {path} holds no token")
    return tuple(tokens)


def _digest(token: str) -> bytes:
    # Of one length whatever is sent, so that not even the length of a token shows in the time of a comparison.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
