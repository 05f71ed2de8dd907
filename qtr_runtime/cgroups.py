"""Where a process's control groups lie: version 2's one hierarchy, or version 1's, one per controller."""

from __future__ import annotations

from pathlib import Path


def own_path(root: Path, controller: str) -> Path:
    """Return this process's place in the hierarchy of `controller` ("" for version 2's only one)."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(path.lstrip("/"))
    return Path()


def levels(mount: Path, path: Path) -> list[Path]:
    """Return the folders of a process's group and of all those above it, each of which may set a limit."""
    # Inside a container the path is often the host's and does not exist; the mount is then the cgroup itself.
    return [mount, *(mount / level for level in (path, *path.parents))]


def read(path: Path) -> str:
    """Return a file's text, or nothing if there is no such file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
