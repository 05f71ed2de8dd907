"""How much memory this process may really use: the machine's, or its container's if that is less."""

from __future__ import annotations

import os
from pathlib import Path

from qtr_runtime.cgroups import levels, own_path, read


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that this process and those beside it may use at most, whatever is in use now.

    Parameters
    ----------
    root
        Where `proc` and `sys` are mounted.
    """
    mount = root / "sys/fs/cgroup"
    limits = [read(folder / "memory.max") for folder in levels(mount, own_path(root, controller=""))]
    older = levels(mount / "memory", own_path(root, controller="memory"))
    limits += [read(folder / "memory.limit_in_bytes") for folder in older]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # No limit reads "max" in version 2, and a number beyond any machine in version 1.
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])
