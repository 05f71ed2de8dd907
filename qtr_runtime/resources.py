"""The cores and the memory that this process may use: its container's limits, not the machine's.

Libraries size their thread pools by the machine. On a large node with a small quota they run all threads at once, and
the scheduler then stops them for most of each period. So the limits of the control groups (cgroup v2 and v1) count, and
the affinity mask.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_UNLIMITED = "max"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, at least 1.

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
    """Return the smallest quota from this process's cgroup up to the root, in cores."""
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
    """Return the bytes that the processes of this container may use in all, used ones included.

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
    # Without a limit the file says "max" in version 2, and a number larger than any machine's in version 1.
    return min([machine, *(int(limit) for limit in limits if limit.isdigit())])


def release_free_memory() -> None:
    """Give memory that is free inside of this process back to the system, where the C library is glibc.

    glibc keeps what was freed below a block that is still in use: of a few hundred megabytes, most.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _own_group(root: Path, controller: str) -> Path:
    """Return this process's cgroup in the hierarchy of `controller` ("" for version 2)."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(path.lstrip("/"))
    return Path()


def _group_folders(mount: Path, path: Path) -> list[Path]:
    """Return the folders of a cgroup and of all its ancestors; each may set a limit."""
    # In a container the path is often the host's and does not exist; the mount is then the cgroup itself.
    return [mount, *(mount / level for level in (path, *path.parents))]


def _read(path: Path) -> str:
    """Return a file's text, or "" if it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
