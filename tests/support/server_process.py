"""A real `python -m grpc_server` process on a free loopback port, and the events that it logs."""

from __future__ import annotations

import resource
import threading
from typing import Any

import grpc

from qtr_runtime.server_process import ServerProcess as Process

# How often a wait looks whether the process has ended.
_POLL_SECONDS = 0.5


def socket_address(address: str) -> tuple[str, int]:
    """Split `host:port` for `socket.create_connection`."""
    host, port = address.rsplit(":", 1)
    return host, int(port)


class ServerProcess:
    """Start on entry, wait until it serves, stop on exit; it may open `max_files` at a time."""

    def __init__(self, *flags: str, max_files: int | None = None) -> None:
        self._flags = flags
        self._max_files = max_files
        self._changed = threading.Condition()
        self._read = 0
        self.events: list[dict[str, Any]] = []
        # While it is not set, nobody reads what the server writes.
        self.reading = threading.Event()
        self.reading.set()
        self.address = ""
        self.metrics_address: str | None = None

    def __enter__(self) -> ServerProcess:
        self._server = Process("--metrics-port", "0", *self._flags, on_event=self._add)
        self.process = self._server.process
        if self._max_files is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (self._max_files, self._max_files))
        try:
            serving = self._server.wait_until_serving()
        except BaseException:
            self._server.stop()
            raise
        self.address, self.metrics_address = serving["address"], serving["metrics_address"]
        self.wait_for("serving")
        return self

    @property
    def socket_address(self) -> tuple[str, int]:
        return socket_address(self.address)

    def wait_for(self, message: str) -> dict[str, Any]:
        """Return the first event with this `message` after the one that was waited for last."""
        ended = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._find(message) is not None, _POLL_SECONDS)
                found = self._find(message)
                if found is not None:
                    self._read = found + 1
                    return self.events[found]
            assert not ended, f"the server ended without {message!r}: {self.events}"
            if self.process.poll() is not None:
                self._server.join()  # its last events are read now
                ended = True

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        return grpc.secure_channel(self.address, credentials, options=options)

    def finish(self) -> int:
        """Wait until it has ended and all its events are read; return the exit status."""
        self.reading.set()
        return self._server.join()

    def __exit__(self, *_: object) -> None:
        self.reading.set()
        self._server.stop()

    def _add(self, event: dict[str, Any]) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        self.reading.wait()

    def _find(self, message: str) -> int | None:
        found = (at for at in range(self._read, len(self.events)) if self.events[at].get("msg") == message)
        return next(found, None)
