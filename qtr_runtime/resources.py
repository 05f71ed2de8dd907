"""How many cores and how much memory this process may really use: its container's limits, not the machine's.

Libraries size their thread pools by the machine. On a large node with a small quota they run all threads at once and are
then stopped by the scheduler for most of each period. So the limits of the control groups (cgroup v2, then v1) are read
first, then the affinity mask and the machine.
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
    for folder in _group_folders(root / "sys/fs/cgroup", _own_group(root, controller="")):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != _UNLIMITED:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _cgroup_v1(root: Path) -> float | None:
    quotas = []
    for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
        for folder in _group_folders(root / mount, _own_group(root, controller="cpu")):
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit():
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that this process and those beside it may use at most, whatever is in use now.

    Parameters
    ----------
    root
        Where `proc` and `sys` are mounted.
    """
    mount = root / "sys/fs/cgroup"
    limits = [_read(folder / "memory.max") for folder in _group_folders(mount, _own_group(root, controller=""))]
    older = _group_folders(mount / "memory", _own_group(root, controller="memory"))
    limits += [_read(folder / "memory.limit_in_bytes") for folder in older]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # No limit reads "max" in version 2, and a number beyond any machine in version 1.
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])


def _own_group(root: Path, controller: str) -> Path:
    """Return this process's place in the hierarchy of `controller` ("" for version 2's only one)."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(path.lstrip("/"))
    return Path()


def _group_folders(mount: Path, path: Path) -> list[Path]:
    """Return the folders of a process's group and of all those above it, each of which may set a limit."""
    # Inside a container the path is often the host's and does not exist; the mount is then the cgroup itself.
    return [mount, *(mount / level for level in (path, *path.parents))]


def _read(path: Path) -> str:
    """Return a file's text, or nothing if there is no such file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
