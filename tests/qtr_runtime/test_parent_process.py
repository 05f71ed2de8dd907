"""A process ends when its parent closes its standard input, or before that."""

from __future__ import annotations

import subprocess
import sys

import pytest

WAITING = """
import os, threading
from qtr_runtime.parent_process import on_stdin_close
let_go = threading.Event()
on_stdin_close(let_go.set)
print("begun", flush=True)
"""
UNTIL_LET_GO = "let_go.wait(600) or os._exit(1)"


@pytest.mark.parametrize("owner_lets_go", [True, False])
def test_the_end_of_an_owned_process(owner_lets_go: bool) -> None:
    code = WAITING + (UNTIL_LET_GO if owner_lets_go else "")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        if owner_lets_go:
            process.stdin.close()
        # Without it, its input stays open until it has ended.
        assert process.wait() == 0
        assert process.stderr.read() == ""
