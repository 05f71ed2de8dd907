"""As many connections as the process may open descriptors for."""

from __future__ import annotations

import logging
import resource
from typing import Final

from grpc_server.errors import StartupError
from grpc_server.settings import ServerSettings
from grpc_server.telemetry.metrics_endpoint import MOST_CONNECTIONS

log = logging.getLogger(__name__)

# Files of the bundle and the certificate while they are read, gRPC's own, the logs; 30 seen at rest.
_OWN: Final = 96
# One descriptor for a connection; connections over the limit have one until they are closed.
_OTHERS: Final = _OWN + MOST_CONNECTIONS


def fit_connections(settings: ServerSettings) -> ServerSettings:
    """Raise the process's limit on open files as far as its connections need, and return settings that fit into it.

    Raises
    ------
    StartupError
        If the limit leaves room for no connection at all.
    """
    wanted = settings.max_connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = soft - _OTHERS
    if room < 1:
        raise StartupError(
            f"this process may open {soft} files (ulimit -n), and needs {_OTHERS} and one for each connection"
        )
    if room < settings.max_connections:
        log.warning(
            f"--max-connections {settings.max_connections} needs {wanted} open files, but this process may open {soft} "
            f"(ulimit -n): {room} connections at a time are served",
        )
        return settings.model_copy(update={"max_connections": room})
    return settings
