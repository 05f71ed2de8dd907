"""A process is alive, has ended or is unknown, by its identity."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spark_jobs.storage.process_identity import is_alive, process_identity


def test_a_process_is_alive_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_identity(process.pid)
        assert is_alive(identity) is True
        process.communicate(b"\n")
    assert is_alive(identity) is False


def test_another_process_with_the_same_number_is_not_it() -> None:
    assert is_alive(f"{process_identity(os.getpid())}0") is False


@pytest.mark.parametrize("identity", [None, 7, "", "x", "1 2", f"{os.getpid()} of another machine"], ids=range(6))
def test_of_anything_else_it_is_unknown(identity: object) -> None:
    assert is_alive(identity) is None


def test_of_a_zombie_it_is_unknown() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = process_identity(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        # Ended, and not asked about: until this test does, its number is not given away.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_alive(name) is None
    assert is_alive(name) is False
