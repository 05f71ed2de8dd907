"""`qtr serve`, also `python -m grpc_server`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from grpc_server.signals import Signals

# The engine's thread needs the interpreter back after each run of a graph. While callers keep the event loop busy, as
# in an overload, it would wait up to CPython's 5 ms for that: as long as several runs take.
_SWITCH_SECONDS = 5e-4


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit status."""
    # Everything else is imported only now: that takes time, in which signals may come.
    signals = Signals()
    import asyncio
    import logging

    from grpc_server.settings import ServerSettings
    from qtr_runtime import logs, standard_streams

    standard_streams.make_safe()
    settings = ServerSettings.parse(sys.argv[1:] if argv is None else argv)
    sys.setswitchinterval(_SWITCH_SECONDS)
    logs.configure(settings.log_format, settings.log_level)
    # Before grpc is imported: without it gRPC's core writes a line to stderr for every TLS handshake that fails.
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
