"""A real `python -m grpc_server` process on a free loopback port."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import Any

import grpc


class ServerProcess:
    """Start on entry, wait until it says that it serves, end it on exit; it may open `most_files` at a time."""

    def __init__(self, *flags: str, most_files: int | None = None) -> None:
        self._flags = flags
        self._most_files = most_files
        self.events: list[dict[str, Any]] = []
        self.address = ""
        self.metrics_address: str | None = None
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> ServerProcess:
        command = [sys.executable, "-m", "grpc_server", "--port", "0", "--metrics-port", "0"]
        command += ["--log-format", "json", *self._flags]
        if self._most_files is not None:
            command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(self._most_files), *command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        serving = self.wait_for("serving")
        self.address, self.metrics_address = serving["address"], serving["metrics_address"]
        return self

    def wait_for(self, message: str) -> dict[str, Any]:
        """Read events until one says `message`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["msg"] == message:
                return self.events[-1]
        raise AssertionError(f"the server ended without {message!r}: {self.events} {self.stderr()}")

    def keep_reading(self) -> None:
        """Read on threads from now on: a server that has much to say must not wait for a full pipe."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        events = (self.events.append(json.loads(line)) for line in self.process.stdout)
        for lines in (events, self.process.stderr):
            self._readers.append(threading.Thread(target=deque, args=(lines, 0), daemon=True))
            self._readers[-1].start()

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        return grpc.secure_channel(self.address, credentials, options=options)

    def finish(self, timeout: float = 30) -> int:
        """Wait for the end, collect the last events and return the exit status."""
        if self._readers:
            self.process.wait(timeout=timeout)
            for reader in self._readers:
                reader.join(timeout=timeout)
            return self.process.returncode
        out, _ = self.process.communicate(timeout=timeout)
        self.events.extend(json.loads(line) for line in out.splitlines())
        return self.process.returncode

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.finish()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
