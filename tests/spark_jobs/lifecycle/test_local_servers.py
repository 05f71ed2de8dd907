"""What the servers of a run may take of the machine's memory."""

from __future__ import annotations

import pytest

from spark_jobs.lifecycle import local_servers

MIB = 1 << 20


@pytest.mark.parametrize(
    ("memory", "servers", "expected"),
    [
        (16384 * MIB, 1, 2048 * MIB),
        (16384 * MIB, 2, 1024 * MIB),
        (16384 * MIB, 4, 512 * MIB),
        (1 << 40, 2, 2048 * MIB),
        (512 * MIB, 2, 64 * MIB),
    ],
)
def test_all_caches_together_take_an_eighth_within_bounds(
    monkeypatch: pytest.MonkeyPatch, memory: int, servers: int, expected: int
) -> None:
    monkeypatch.setattr(local_servers, "available_memory", lambda: memory)
    assert local_servers.cache_bytes(servers) == expected
