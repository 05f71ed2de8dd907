"""A real ``python -m grpc_server`` process on a free loopback port."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import grpc


class ServerProcess:
    """Start on entry, wait until it says that it serves, end it on exit."""

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self.events: list[dict[str, Any]] = []
        self.address = ""

    def __enter__(self) -> ServerProcess:
        command = [sys.executable, "-m", "grpc_server", "--port", "0", "--log-format", "json", *self._flags]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.address = self.wait_for("serving")["address"]
        return self

    def wait_for(self, message: str) -> dict[str, Any]:
        """Read events until one says ``message``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["msg"] == message:
                return self.events[-1]
        raise AssertionError(f"the server ended without {message!r}: {self.events} {self.stderr()}")

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def finish(self, timeout: float = 30) -> int:
        """Wait for the end, collect the last events and return the exit status."""
        out, _ = self.process.communicate(timeout=timeout)
        self.events.extend(json.loads(line) for line in out.splitlines())
        return self.process.returncode

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=30)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
