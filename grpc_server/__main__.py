"""`qtr serve`, also `python -m grpc_server`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from grpc_server.signals import Signals

# The engine's thread needs the interpreter lock after each run of a graph. While the event loop is busy, as in an
# overload, it would wait for CPython's default of 5 ms, which is as long as several runs.
_SWITCH_SECONDS = 5e-4


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal stops the server; return the exit status."""
    # Imports take time, in which signals may arrive; so they follow the signal handlers.
    signals = Signals()
    import asyncio
    import logging

    from grpc_server.settings import ServerSettings
    from qtr_runtime import logs, standard_streams

    standard_streams.make_safe()
    settings = ServerSettings.parse(sys.argv[1:] if argv is None else argv)
    sys.setswitchinterval(_SWITCH_SECONDS)
    logs.configure(settings.log_format, settings.log_level)
    # Set before grpc is imported: otherwise gRPC's core writes a line to stderr for every failed TLS handshake.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from grpc_server.errors import StartupError
    from grpc_server.server import serve

    try:
        asyncio.run(serve(settings, signals))
    except StartupError as error:
        logging.getLogger("grpc_server").error(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
