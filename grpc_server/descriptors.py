"""The limit on connections, fitted to the process's limit on open files."""

from __future__ import annotations

import logging
import resource
from typing import Final

from grpc_server.errors import StartupError
from grpc_server.settings import ServerSettings
from grpc_server.telemetry.http_endpoint import MAX_CONNECTIONS

log = logging.getLogger(__name__)

# Descriptors of gRPC and the logs, and of the bundle and the certificate while they are read; measured: 30 at rest.
_OWN: Final = 96
# All descriptors that are not gRPC connections. Each connection needs one, also one over the limit until it is closed.
_RESERVED: Final = _OWN + MAX_CONNECTIONS


def fit_connections(settings: ServerSettings) -> ServerSettings:
    """Raise the process's limit on open files as far as needed, and return settings with as many connections as fit.

    Raises
    ------
    StartupError
        If the limit leaves no descriptor for a connection.
    """
    wanted = settings.max_connections + _RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    available = soft - _RESERVED
    if available < 1:
        raise StartupError(
            f"this process may open {soft} files (ulimit -n), and needs {_RESERVED} and one for each connection"
        )
    if available < settings.max_connections:
        log.warning(
            f"--max-connections {settings.max_connections} needs {wanted} open files, but this process may open {soft} "
            f"(ulimit -n): {available} connections at a time are served",
        )
        return settings.model_copy(update={"max_connections": available})
    return settings
