"""Servers that belong to a run: started for it on this machine, watched while it lasts, gone with it.

Each is a process of its own, on a free port of the loopback address, with one thread for the model: that outruns one
process with many threads. Its standard input is a pipe that nobody writes to. It closes when this process ends, even by
SIGKILL, and the server drains and exits then, so no server is ever left behind.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path

from qtr_runtime.own_process import module_command, module_environment
from qtr_runtime.resources import available_memory
from spark_jobs.errors import JobError, ServerLostError, SetupError

# Pairs come by title, so that titles need hardly be remembered, and queries come again and again. In a night of 20
# million rows with 740,000 queries, room for 11,000 of them found 14 % and took 80 us a pair, room for 183,000 56 % and
# 53 us, room for 366,000 77 % and 43 us; a night whose queries all fit takes 37 us.
TITLE_CACHE_SHARE = 0.1
_SHARE_OF_MEMORY = 1 / 8
_LEAST_CACHE_BYTES = 64 << 20
_MOST_CACHE_BYTES = 2 << 30


def cache_bytes(servers: int) -> int:
    """Return the memory for the cache of each of so many servers; it is taken as it fills."""
    share = int(available_memory() * _SHARE_OF_MEMORY) // max(1, servers)
    return min(_MOST_CACHE_BYTES, max(_LEAST_CACHE_BYTES, share))


class LocalServers:
    """Some server processes, behind one gRPC target.

    Parameters
    ----------
    count
        Number of processes.
    bundle
        Folder of the model bundle; `None` for the bundled student.
    start_timeout_seconds
        Seconds that all of them together may take until they serve.
    stop_timeout_seconds
        Seconds that they have to finish after SIGTERM, before they are killed.
    """

    def __init__(
        self,
        count: int,
        bundle: Path | None = None,
        *,
        start_timeout_seconds: float = 60.0,
        stop_timeout_seconds: float = 10.0,
    ) -> None:
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        self._servers: list[_Server] = []
        try:
            for _ in range(count):
                self._servers.append(_Server(bundle, cache_bytes(count)))
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> LocalServers:
        """Return the servers; they are starting."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.stop()

    def target(self) -> str:
        """Wait until all of them serve and give the gRPC target that names them all.

        Raises
        ------
        ServerLostError
            If one ends early or takes too long.
        SetupError
            If one refuses its settings, such as the bundle.
        """
        until = time.monotonic() + self._start_timeout_seconds
        return "ipv4:" + ",".join(server.address(until, self._start_timeout_seconds) for server in self._servers)

    def failure(self) -> JobError | None:
        """Say which server has died, if any has; one that was told to stop has not."""
        return next((end for server in self._servers if (end := server.untimely_end()) is not None), None)

    def stop(self) -> None:
        """Ask them to stop, wait, and kill those that do not."""
        for server in self._servers:
            server.ask_to_stop()
        until = time.monotonic() + self._stop_timeout_seconds
        for server in self._servers:
            server.ensure_stopped(until)


class _Server:
    """One process, and the thread that reads what it says."""

    def __init__(self, bundle: Path | None, cache_bytes: int) -> None:
        command = module_command("grpc_server", "--host", "127.0.0.1", "--port", "0", "--threads", "1")
        command += ["--cache-bytes", str(cache_bytes), "--title-cache-share", str(TITLE_CACHE_SHARE)]
        command += ["--metrics-port", "0", "--exit-on-stdin-close", "--log-format", "json"]
        if bundle is not None:
            command += ["--bundle", str(bundle)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=module_environment(),
            # Ctrl-C in the terminal is for the run, which stops its servers itself when it no longer needs them.
            start_new_session=True,
        )
        self._stopping = False
        self._address: str | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._settled = threading.Event()  # it serves, or it has ended
        self._reader = threading.Thread(target=self._read, name=f"server-{self.process.pid}", daemon=True)
        self._reader.start()

    def address(self, until: float, timeout_seconds: float) -> str:
        self._settled.wait(max(0.0, until - time.monotonic()))
        if self._address is not None:
            return self._address
        if self._settled.is_set():
            raise self.untimely_end() or ServerLostError(f"embedded server {self.process.pid} was stopped")
        raise ServerLostError(f"embedded server {self.process.pid} was not serving within {timeout_seconds:g} s")

    def untimely_end(self) -> JobError | None:
        status = self.process.poll()
        if status is None or self._stopping:
            return None
        self._reader.join(1.0)
        name = f"embedded server {self.process.pid}"
        if status < 0:
            return ServerLostError(f"{name} was killed by signal {-status} ({signal.Signals(-status).name})")
        if self._address is None:
            # It refused to start: a bundle that is not there, for example, which will not be there the next time.
            return SetupError(f"{name} did not start: {self._last_words()}")
        return ServerLostError(f"{name} exited with status {status}: {self._last_words()}")

    def ask_to_stop(self) -> None:
        self._stopping = True
        if self.process.poll() is None:
            self.process.terminate()

    def ensure_stopped(self, until: float) -> None:
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").strip()
            event = _event(line)
            if event.get("msg") == "serving" and "address" in event:
                self._address = str(event["address"])
                self._settled.set()
            elif line:
                self._last_lines.append(line)
        self.process.wait()
        self._settled.set()

    def _last_words(self) -> str:
        """Return the last error that it logged, or the last line that it wrote."""
        for line in reversed(self._last_lines):
            event = _event(line)
            if event.get("level") in {"ERROR", "CRITICAL"}:
                return str(event.get("msg"))
        return self._last_lines[-1] if self._last_lines else "it wrote nothing"


def _event(line: str) -> dict[str, object]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
