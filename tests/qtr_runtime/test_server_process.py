"""The one way to start a server, wait for it and stop it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from qtr_runtime.server_process import ServerEndedError, ServerProcess


def test_a_server_tells_where_it_serves_and_ends_when_asked() -> None:
    events: list[dict[str, Any]] = []
    with ServerProcess("--no-metrics", "--threads", "1", on_event=events.append) as server:
        serving = server.wait_until_serving()
        assert serving["address"].startswith("127.0.0.1:")
        assert serving in events
        assert server.untimely_end() is None
    assert server.process.returncode == 0
    assert server.untimely_end() is None
    assert [event["msg"] for event in events][-2:] == ["draining", "stopped"]


def test_a_server_that_does_not_start_is_reported_with_its_last_error(tmp_path: Path) -> None:
    missing = tmp_path / "no bundle"
    with ServerProcess("--bundle", str(missing)) as server:
        with pytest.raises(ServerEndedError, match=f"server {server.process.pid} did not start: ") as caught:
            server.wait_until_serving()
        assert str(missing) in str(caught.value)
        assert caught.value.refused


def test_a_server_that_is_killed_is_noticed_and_one_that_was_stopped_is_not() -> None:
    with ServerProcess("--no-metrics", "--threads", "1") as server:
        with pytest.raises(TimeoutError, match=r"was not serving within 0\.001 s"):
            server.wait_until_serving(0.001)
        server.process.kill()
        assert server.join() == -signal.SIGKILL
        end = server.untimely_end()
        assert end is not None
        assert not end.refused
        assert str(end) == f"server {server.process.pid} was killed by signal 9 (SIGKILL)"
    assert server.untimely_end() is None


def test_a_server_ends_when_its_standard_input_closes() -> None:
    with ServerProcess("--no-metrics", "--threads", "1") as server:
        server.wait_until_serving()
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.join() == 0


def test_a_wait_ends_when_the_server_is_stopped() -> None:
    server = ServerProcess("--no-metrics")
    server.stop()
    with pytest.raises(ServerEndedError, match="was stopped"):
        server.wait_until_serving()
