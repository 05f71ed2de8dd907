"""A server that is started again whenever it dies, on its own port: what a kubelet does for a container."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar


class Process(Protocol):
    """The part of `subprocess.Popen` that is used here."""

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class Server(Protocol):
    """A process that serves while its context is entered."""

    @property
    def process(self) -> Process: ...

    def __enter__(self) -> object: ...

    def __exit__(self, *args: object) -> None: ...


S = TypeVar("S", bound=Server)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class KeptAlive(Generic[S]):
    """Start on entry, wait until it serves, and start it again each time that it ends before the exit.

    Parameters
    ----------
    make
        Gives a new server for a port.
    """

    def __init__(self, make: Callable[[int], S]) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.starts = 0
        self.server: S
        self._make = make
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_start(1)
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ending = True
        self.kill()
        self._thread.join()

    def kill(self) -> None:
        """Kill the process that runs now, as `kill -9` does."""
        with self._changed:
            self.server.process.kill()

    def wait_for_start(self, number: int) -> None:
        """Wait until it has been started so often, and serves."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.starts >= number)

    def _keep(self) -> None:
        while True:
            server = self._make(self.port)
            with server:
                with self._changed:
                    self.server = server
                    self.starts += 1
                    ending = self._ending
                    self._changed.notify_all()
                if not ending:
                    server.process.wait()
            with self._changed:
                if self._ending:
                    return
