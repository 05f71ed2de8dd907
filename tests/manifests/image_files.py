"""The files of a built image, with their owners, and how the image starts."""

from __future__ import annotations

import json
import os
import posixpath
import shlex
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# As Linux has it for one name.
_MOST_LINKS = 40


@dataclass(frozen=True)
class Entry:
    """A file, folder or link: its mode with the type, its owner, and where a link leads."""

    mode: int
    owner: int = 0
    link: str = ""


@dataclass(frozen=True)
class ImageFiles:
    """What a container of the image finds.

    Attributes
    ----------
    entries
        By absolute path.
    environment, entrypoint, user
        Of the image's configuration.
    """

    entries: dict[str, Entry]
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    user: str = "10001:10001"

    def resolve(self, path: str) -> tuple[str, Entry] | None:
        """Return the path without links, and what is there; `None` if there is nothing."""
        done, left, links = "/", [part for part in path.split("/") if part], 0
        while left:
            part = left.pop(0)
            done = posixpath.normpath(posixpath.join(done, part))
            entry = self.entries.get(done)
            if done == "/":
                continue
            if entry is None:
                return None
            if stat.S_ISLNK(entry.mode):
                links += 1
                if links > _MOST_LINKS:
                    return None
                left = [*(each for each in entry.link.split("/") if each), *left]
                done = "/" if entry.link.startswith("/") else posixpath.dirname(done)
        return (done, self.entries[done]) if done in self.entries else None

    def program(self, name: str) -> tuple[str, Entry] | None:
        """Return the program that a container runs under that name; `None` if there is none."""
        folders = [""] if "/" in name else self.environment.get("PATH", "").split(":")
        found = (self.resolve(f"{folder}/{name}" if folder else name) for folder in folders)
        return next((each for each in found if each and stat.S_ISREG(each[1].mode) and each[1].mode & 0o001), None)


def read_image(tool: str, image: str) -> ImageFiles:
    """Read a built image with docker, podman or buildah.

    Parameters
    ----------
    tool
        The command, with global flags if needed.
    image
        The image's name.
    """
    words = shlex.split(tool)
    if "buildah" in words[0]:
        config = json.loads(_run(*words, "inspect", "--type", "image", image))["OCIv1"]["config"]
        with _container(words, "from", image) as container:
            entries = dict(_of_folder(Path(_run(*words, "mount", container).strip())))
    else:
        config = json.loads(_run(*words, "image", "inspect", image))[0]["Config"]
        with _container(words, "create", image) as container:
            entries = dict(_of_archive([*words, "export", container]))
    environment = dict(each.split("=", 1) for each in config["Env"])
    return ImageFiles(entries, environment, tuple(config["Entrypoint"]), config["User"])


@contextmanager
def _container(words: list[str], verb: str, image: str) -> Iterator[str]:
    name = _run(*words, verb, image).strip()
    try:
        yield name
    finally:
        _run(*words, "rm", name)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _of_folder(root: Path) -> Iterator[tuple[str, Entry]]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            link = str(path.readlink()) if path.is_symlink() else ""
            yield f"/{path.relative_to(root)}", Entry(status.st_mode, status.st_uid, link)


def _of_archive(command: list[str]) -> Iterator[tuple[str, Entry]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as exporting:
        with tarfile.open(fileobj=exporting.stdout, mode="r|") as archive:
            for member in archive:
                kind = stat.S_IFLNK if member.issym() else stat.S_IFDIR if member.isdir() else stat.S_IFREG
                yield f"/{member.name.strip('/')}", Entry(kind | member.mode, member.uid, member.linkname)
        assert exporting.wait() == 0
