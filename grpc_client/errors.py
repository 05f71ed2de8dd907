"""Errors of a call, as one tree.

::

    ClientError                   catch this one: its text is one sentence
    ├── ConfigError               a setting of the client is impossible
    ├── TargetUnavailableError    no answer within the retry budget: no server, overload, timeouts, resets
    │   └── NoAddressError        the service has no address for now
    ├── RequestRejectedError      this request can never succeed (its status is in `code`)
    │   └── MessageTooLargeError  the request or its answer is larger than a message may be
    ├── ServerFaultError          the server failed on the request; its log has details under the request id
    │   └── ServerDiedError       its connection broke each time it had this call
    ├── ResponseMismatchError     the answer does not fit the request: wrong lengths, impossible scores, another model
    └── ClientClosedError         the call was given up because its client or its window was closed

Each can be pickled: Spark carries them from a worker process to the driver.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of the errors of this package."""


class ConfigError(ClientError):
    """A setting of the client is impossible."""


class TargetUnavailableError(ClientError):
    """No server behind the target gave an answer within the retry budget."""


class NoAddressError(TargetUnavailableError):
    """There is no address to call: no ready endpoint, or no API server that lists them."""


class RequestRejectedError(ClientError):
    """The server rejected the request: sending it again would give the same answer.

    Parameters
    ----------
    message
        One sentence with the server's details.
    code
        Name of the gRPC status, for example `"NOT_FOUND"`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        """Return the sentence alone; the code is already part of it."""
        return str(self.args[0])


class MessageTooLargeError(RequestRejectedError):
    """The request or its answer is larger than gRPC's message limit on one of the two sides."""


class ServerFaultError(ClientError):
    """The server failed on the request.

    Parameters
    ----------
    message
        One sentence with the server's details.
    code
        Name of the gRPC status.
    """

    def __init__(self, message: str, code: str = "INTERNAL") -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        """Return the sentence alone."""
        return str(self.args[0])


class ServerDiedError(ServerFaultError):
    """The connection broke each time the server had this call, though it was seen to serve just before."""


class ResponseMismatchError(ClientError):
    """The answer does not fit the request."""


class ClientClosedError(ClientError):
    """The call was given up because its client or its window was closed."""
