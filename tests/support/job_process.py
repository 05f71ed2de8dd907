"""Runs of `qtr label` as processes of their own, and waiting for what they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
DAEMON = "spark_jobs.lifecycle.worker_daemon"
MODULE = [sys.executable, "-m", "spark_jobs.label_pairs"]


class Job:
    """A run in a process group of its own, for 2026-11-01."""

    def __init__(self, flags: list[str], command: list[str] | None = None, **env: str) -> None:
        self.process = psutil.Popen(
            [*(command or MODULE), *flags, "--run-date", "2026-11-01", "--log-format", "json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
            start_new_session=True,
        )

    def wait_for(self, message: str) -> dict[str, Any]:
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["msg"] == message:
                return event
        raise AssertionError(f"ended without {message!r}: {self.process.stderr.read()}")

    def servers(self) -> list[psutil.Process]:
        return [child for child in self.process.children() if "grpc_server" in child.cmdline()]

    def python_workers(self) -> list[psutil.Process]:
        """Processes of Spark's that run our code: children of its daemon."""
        daemons = [child for child in self.process.children(recursive=True) if DAEMON in words(child)]
        return [worker for daemon in daemons for worker in daemon.children()]

    def finish(self) -> tuple[int, str, str]:
        """Close its standard input and wait for its end; give its status and what it said."""
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def succeed(self) -> dict[str, Any]:
        """Wait for the end, which must be a good one; give its last event."""
        status, out, err = self.finish()
        assert (status, err) == (0, "")
        event: dict[str, Any] = json.loads(out.splitlines()[-1])
        return event

    def kill(self, *, whole: bool = True) -> None:
        """End it by SIGKILL: with Spark's process and its workers, as a machine ends, or alone."""
        if whole:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.communicate()

    def clean_up(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def until(condition: Callable[[], object]) -> None:
    """Poll for something that another process does."""
    while not condition():
        time.sleep(0.02)


def words(process: psutil.Process) -> list[str]:
    """Return its command line; of one that has ended there is none."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
