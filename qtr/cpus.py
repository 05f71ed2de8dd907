"""How many cores this process may really use.

Libraries size their thread pools by the machine, not by the container: on a large node with a small quota they run all
threads at once and are then stopped by the scheduler for most of each period. So the quota is asked first: cgroup v2,
cgroup v1, then the affinity mask, then the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

_UNLIMITED = "max"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the whole cores that this process may use, at least 1.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are mounted.
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
    for folder in _levels(root / "sys/fs/cgroup", _cgroup_path(root, controller="")):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != _UNLIMITED:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _cgroup_v1(root: Path) -> float | None:
    quotas = []
    for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
        for folder in _levels(root / mount, _cgroup_path(root, controller="cpu")):
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit():
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cgroup_path(root: Path, controller: str) -> Path:
    """Return this process's place in the hierarchy of ``controller`` ("" for v2's only one)."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(path.lstrip("/"))
    return Path()


def _levels(mount: Path, path: Path) -> list[Path]:
    # Inside a container the path is often the host's and does not exist; the mount is then the cgroup itself.
    return [mount, *(mount / level for level in (path, *path.parents))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
