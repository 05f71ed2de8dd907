"""One client per process and configuration."""

from __future__ import annotations

import subprocess
import sys

from tests.support.client_scene import Scene

FORK = """
import os, sys
from grpc_client import ClientConfig, shared_client
config = ClientConfig(sys.argv[1])
with shared_client(config) as before, shared_client(ClientConfig(sys.argv[1])) as again:
    assert before is again            # made in the parent, not used there
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            with shared_client(config) as mine:
                assert mine is not before
                assert mine.score_batch(["a"], ["b"]).model.name == "scripted"
            with shared_client(config) as again:
                assert mine is again
            assert before.score_batch(["a"], ["b"]).model.name == "scripted"   # opens a channel of the child's own
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
assert before.score_batch(["a"], ["b"]).model.name == "scripted"
"""


def test_every_process_has_its_own_client_and_channel(scene: Scene) -> None:
    server, _ = scene()
    command = [sys.executable, "-c", FORK, server.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
