"""The least limit decides, wherever it is written; without one, the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qtr_runtime.resources import available_memory

GIB = 1 << 30


@pytest.fixture(autouse=True)
def a_machine_of_16_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * GIB // 4096}.__getitem__)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16 * GIB),
        ({"sys/fs/cgroup/memory.max": "max\n"}, 16 * GIB),
        ({"sys/fs/cgroup/memory.max": f"{4 * GIB}\n"}, 4 * GIB),
        ({"sys/fs/cgroup/memory.max": f"{64 * GIB}\n"}, 16 * GIB),
        (
            {
                "proc/self/cgroup": "0::/pod/c1\n",
                "sys/fs/cgroup/pod/c1/memory.max": "max\n",
                "sys/fs/cgroup/pod/memory.max": f"{2 * GIB}\n",
            },
            2 * GIB,
        ),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 16 * GIB),
        (
            {
                "proc/self/cgroup": "7:cpu:/x\n5:memory:/c1\n",
                "sys/fs/cgroup/memory/c1/memory.limit_in_bytes": f"{3 * GIB}\n",
            },
            3 * GIB,
        ),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert available_memory(tmp_path) == expected
