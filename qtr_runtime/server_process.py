"""The server as a process that a program starts on its own machine, waits for and stops.

Its standard input is a pipe that is never written to. The pipe closes when this process ends, even by SIGKILL, and the
server drains and exits then: no server outlives the program that started it. A thread reads what the server writes, so
that it never waits for a full pipe.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from qtr_runtime.json_log import last_error, read_event
from qtr_runtime.own_process import module_command, module_environment

Event = dict[str, Any]


class ServerEndedError(Exception):
    """A server has ended without being asked to.

    Parameters
    ----------
    message
        One sentence with the server's last error.
    refused
        Whether it exited before it served: its settings or its bundle are unusable, and will be the next time, too.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class ServerProcess:
    """One `python -m grpc_server`, which starts at once; on leaving a `with` block it is stopped.

    Parameters
    ----------
    flags
        Flags of `qtr serve`. Without `--port` the system chooses a free one.
    on_event
        Called on the reading thread with each event of the server's log.
    """

    def __init__(self, *flags: str, on_event: Callable[[Event], None] | None = None) -> None:
        command = module_command("grpc_server", "--port", "0", "--log-format", "json", "--exit-on-stdin-close", *flags)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=module_environment(),
            # Ctrl-C in the terminal is for the program that started it, which stops its servers itself.
            start_new_session=True,
        )
        self._on_event = on_event
        self._stopping = False
        self._serving: Event | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._settled = threading.Event()  # it serves, or it has ended
        self._reader = threading.Thread(target=self._read, name=f"server-{self.process.pid}", daemon=True)
        self._reader.start()

    def __enter__(self) -> ServerProcess:
        """Return the process; it is starting."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def wait_until_serving(self, timeout_seconds: float | None = None) -> Event:
        """Return the event that says where it serves: `address`, and `metrics_address` or None.

        Raises
        ------
        ServerEndedError
            If it ends first.
        TimeoutError
            If it does neither within the time.
        """
        if not self._settled.wait(timeout_seconds):
            raise TimeoutError(f"server {self.process.pid} was not serving within {timeout_seconds:g} s")
        if self._serving is None:
            raise self.untimely_end() or ServerEndedError(f"server {self.process.pid} was stopped")
        return self._serving

    def untimely_end(self) -> ServerEndedError | None:
        """Return how it ended, or None if it runs or was asked to stop."""
        status = self.process.poll()
        if status is None or self._stopping:
            return None
        self._reader.join(1.0)
        name = f"server {self.process.pid}"
        if status < 0:
            return ServerEndedError(f"{name} was killed by signal {-status} ({signal.Signals(-status).name})")
        last = last_error(list(self._last_lines))
        if self._serving is None:
            return ServerEndedError(f"{name} did not start: {last}", refused=True)
        return ServerEndedError(f"{name} exited with status {status}: {last}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM, without waiting: the server drains, then exits."""
        self._stopping = True
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, timeout_seconds: float = 60.0) -> None:
        """Ask it to stop, wait, and kill it if it takes longer than `timeout_seconds`."""
        self.ask_to_stop()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def join(self) -> int:
        """Wait until it has exited and all that it wrote is read; return its exit status."""
        status = self.process.wait()
        self._reader.join()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").strip()
            event = read_event(line)
            if self._on_event is not None and event:
                self._on_event(event)
            if event.get("msg") == "serving" and "address" in event:
                self._serving = event
                self._settled.set()
            elif line:
                self._last_lines.append(line)
        self.process.wait()
        self._settled.set()
