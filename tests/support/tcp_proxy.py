"""A TCP proxy that can reset every connection, or drop all that is sent."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listen on entry and forward everything to `upstream` (`host:port`) until a test changes that."""

    def __init__(self, upstream: str) -> None:
        host, port = upstream.rsplit(":", 1)
        self._upstream = (host, int(port))
        self._connected = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._passing = threading.Event()
        self._passing.set()

    def __enter__(self) -> TcpProxy:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._passing.set()
        # Closing alone does not wake the thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_all()

    def reset(self) -> None:
        """Break every connection with RST, as soon as there is one."""
        with self._connected:
            self._connected.wait_for(lambda: self._sockets)
        self._break_all()

    def _break_all(self) -> None:
        with self._connected:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                each.shutdown(socket.SHUT_RD)
            with suppress(OSError):
                each.close()

    def swallow(self) -> None:
        """Deliver nothing from now on, in neither direction; connections stand, new ones are taken."""
        self._passing.clear()

    def deliver(self) -> None:
        """Deliver what was held back, and all that follows."""
        self._passing.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._passing.wait()
        try:
            far = socket.create_connection(self._upstream)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        with self._connected:
            self._sockets |= {near, far}
            self._connected.notify_all()
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                self._passing.wait()
                other.sendall(content)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
