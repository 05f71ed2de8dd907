"""How many cores this process may really use.

Libraries size their thread pools by the machine, not by the container: on a large node with a small quota they run all
threads at once and are then stopped by the scheduler for most of each period. So the quota is asked first: cgroup v2,
cgroup v1, then the affinity mask, then the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from qtr_runtime.cgroups import levels, own_path, read

_UNLIMITED = "max"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the whole cores that this process may use, at least 1.

    Parameters
    ----------
    root
        Where `proc` and `sys` are mounted.
    """
    quotas = [quota for quota in (_cgroup_v2(root), _cgroup_v1(root)) if quota is not None]
    return max(1, int(min([_affinity(), *quotas])))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_v2(root: Path) -> float | None:
    """Return the least quota between this process's cgroup and the root one, in cores."""
    quotas = []
    for folder in levels(root / "sys/fs/cgroup", own_path(root, controller="")):
        words = read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != _UNLIMITED:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _cgroup_v1(root: Path) -> float | None:
    quotas = []
    for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
        for folder in levels(root / mount, own_path(root, controller="cpu")):
            quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit():
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)
