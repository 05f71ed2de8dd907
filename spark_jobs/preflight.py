"""Checks of the paths of input and output, before Spark or a server starts.

A pipe or a device cannot be the input: reading it may never end, and a run reads its input more than once. And a run
must not read what it writes: the next run would label the rows of the published labels.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from spark_jobs.errors import InputError, SetupError, UsageError
from spark_jobs.settings import LabelSettings
from spark_jobs.storage.paths import links_upwards, local_path
from spark_jobs.storage.tables import is_table_name

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_HIDDEN = ("_", ".")
_LONGEST_NAME = 255
_READ_ONLY = frozenset({"http", "https"})
_HADOOP_VARIABLES = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
_GLOB = re.compile(r"[*?\[{]")
# What a run writes into --output; readers skip names that begin with "_".
_RESULTS = ("labels", "scores", "reports")


def check_places(settings: LabelSettings) -> None:
    """Refuse an input that is no file or folder, and an output that lies within the input.

    Raises
    ------
    InputError
        If an input is a pipe, a device or a socket, or a folder that holds one.
    UsageError
        If the run would read what it writes, or an output does not name a folder.
    SetupError
        If a local output is not writable, or the working folder was deleted.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise SetupError(f"the working folder cannot be used ({error.strerror}); change to another") from None
    for path in settings.input:
        _check_form("--input", path)
        local = local_path(path)
        if local is not None:
            _check_kind(path, local)
    folders = [("--output", settings.output)]
    named = (("--labels", settings.labels), ("--store", settings.store))
    folders += [(flag, place) for flag, place in named if place and not is_table_name(place)]
    for flag, folder in folders:
        _check_output(flag, folder)
    _check_own_folders(settings, dict(folders))
    _check_results_apart(settings)
    places = [("--output", f"{settings.output.rstrip('/')}/{name}") for name in _RESULTS]
    for flag, place in (*places, *folders[1:]):
        for source in settings.input:
            _check_apart(source, flag, place, settings.output if flag == "--output" else place)


def _check_results_apart(settings: LabelSettings) -> None:
    """Refuse labels, scores and reports of which some lie within others: readers of a folder read all of it."""
    own = {name: f"{settings.output.rstrip('/')}/{name}" for name in _RESULTS}
    places = {**own, "labels": settings.labels or own["labels"], "scores": settings.store or own["scores"]}
    parts = {name: _parts(place) for name, place in places.items() if not is_table_name(place)}
    for (outer, (root, above)), (inner, (other, below)) in permutations(parts.items(), 2):
        between = below[len(above) :]
        if root == other and below[: len(above)] == above and not any(name.startswith(_HIDDEN) for name in between):
            raise UsageError(
                f"the {inner} in {places[inner]} would lie within the {outer} in {places[outer]} (--output, --labels, "
                "--store); name folders that are apart"
            )


def _check_form(flag: str, path: str) -> None:
    """Refuse a path that names no file on any storage, or another one to Spark than to a shell."""
    if "\0" in path:
        raise UsageError(f"{flag} {path!r}: a path has no character 0")
    if path.startswith("//"):
        raise UsageError(f"{flag} {path}: after two slashes Spark expects a host; write {path[1:]}")


def _check_output(flag: str, folder: str) -> None:
    """Refuse an output that does not name a folder, or a local folder that is not writable."""
    _check_form(flag, folder)
    if not folder.strip() or not folder.isprintable():
        raise UsageError(f"{flag} {folder!r}: expected the name of a folder")
    scheme, colon, rest = folder.partition(":")
    if colon and "/" not in scheme and not rest.startswith("/"):
        raise UsageError(f"{flag} {folder}: what stands before the colon reads as a kind of storage; write ./{folder}")
    if colon and scheme.lower() in _READ_ONLY:
        raise UsageError(f"{flag} {folder}: nothing can be written to {scheme.lower()} addresses; expected a folder")
    if folder.startswith("file://") and urlsplit(folder).netloc:
        raise UsageError(f"{flag} {folder}: a file address has three slashes, file:///folder")
    local = local_path(folder)
    if local is not None and local == Path("/"):
        raise UsageError(f"{flag} {folder}: name a folder below the root")
    if local is None or _on_a_cluster():
        return
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in local.parts):
        raise UsageError(f"{flag} {folder[:40]}…: a name in it has more than {_LONGEST_NAME} bytes")
    nearest = next(path for path in (local.absolute(), *local.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UsageError(f"{flag} {folder}: {nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SetupError(f"{flag} {folder}: nothing can be written to {nearest}: no permission, or it is read-only")


def _check_own_folders(settings: LabelSettings, folders: dict[str, str]) -> None:
    """Refuse what is no folder, or not writable, in the places of the local folders that a run writes to."""
    if _on_a_cluster():
        return
    own = {
        "--output": ("reports", "_locks", "_staging", "_scored"),
        "--labels": ("", "_locks", "_staging"),
        "--store": ("",),
    }
    own["--output"] += () if settings.labels else ("labels",)
    own["--output"] += () if settings.store else ("scores",)
    for flag, place in folders.items():
        if (outer := local_path(place)) is None:
            continue
        for folder in (outer / name for name in own[flag]):
            for path in (folder, folder / f"run_date={settings.run_date}"):
                if os.path.lexists(path) and not path.is_dir():
                    raise UsageError(f"{flag} {place}: {path} is no folder; the run would write to it")
            if _exists(folder) and not os.access(folder, os.W_OK | os.X_OK):
                raise SetupError(
                    f"{flag} {place}: nothing can be written to {folder}: no permission, or it is read-only"
                )


def _on_a_cluster() -> bool:
    """Return whether a path without a scheme may be on a cluster."""
    return any(map(os.environ.get, _HADOOP_VARIABLES))


def _exists(path: Path) -> bool:
    """Return whether a path exists; `False` if that cannot be read."""
    try:
        return path.exists()
    except OSError:
        return False


def _check_kind(given: str, path: Path) -> None:
    for file in _special_files(path):
        where = given if file == path else str(file)
        mode = file.stat().st_mode
        kind = next(name for test, name in _KINDS if test(mode))
        raise InputError(f"input {where} is {kind}; the input is read more than once, so it must be files")


def _special_files(path: Path) -> Iterator[Path]:
    """Yield pipes, devices and sockets at or below a path; links are followed, hidden names are skipped."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # reading the input reports that it is missing
    if any(test(mode) for test, _ in _KINDS):
        yield path
    elif stat.S_ISDIR(mode):
        for folder, folders, names in os.walk(path, followlinks=True):
            below = [name for name in folders if not name.startswith(_HIDDEN)]
            folders[:] = [name for name in below if not links_upwards(Path(folder) / name)]
            for entry in map(Path(folder).joinpath, names):
                # pathlib's functions raise if a folder may be listed but not entered; reading the input reports that.
                if entry.name.startswith(_HIDDEN) or os.path.isfile(entry):  # noqa: PTH113
                    continue
                if os.path.exists(entry):  # noqa: PTH110
                    yield entry


def _check_apart(source: str, flag: str, place: str, named: str) -> None:
    local = local_path(source)
    exists = local is not None and _exists(local)
    if is_table_name(source) and not exists:
        return
    read, written = _parts(source), _parts(place)
    if read[0] != written[0]:
        return
    start, below = written[1][: len(read[1])], written[1][len(read[1]) :]
    # As `HadoopFileSystem.matches` does: a path that exists is literal.
    within = read[1] == start if exists else _matches(read[1], start)
    if within and not any(name.startswith(_HIDDEN) for name in below):
        raise UsageError(
            f"{flag} {named}: what is written there lies within the input {source}, and the next run would read it; "
            "name a folder outside the input"
        )
    if read[1][: len(written[1])] == written[1]:
        raise UsageError(f"the input {source} lies within {place}, which this run writes ({flag} {named})")


def _matches(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Return whether each name equals its part of a path, or matches it as a glob."""
    return len(pattern) == len(names) and all(
        part == name or (_GLOB.search(part) and any(fnmatch.fnmatchcase(name, each) for each in _alternatives(part)))
        for part, name in zip(pattern, names, strict=True)
    )


def _alternatives(part: str) -> list[str]:
    """Return the globs that `{a,b}` stands for, which Hadoop has and Python has not.

    Examples
    --------
    >>> _alternatives("{a,b}-{1,2}")
    ['a-1', 'a-2', 'b-1', 'b-2']
    """
    found = re.search(r"\{([^{}]*)\}", part)
    if found is None:
        return [part.replace("[^", "[!")]
    return [
        whole
        for each in found[1].split(",")
        for whole in _alternatives(f"{part[: found.start()]}{each}{part[found.end() :]}")
    ]


def _parts(path: str) -> tuple[str, tuple[str, ...]]:
    """Return scheme and host of a path (empty if it is local), and the names below."""
    local = local_path(path)
    if local is not None:
        return "", PurePosixPath(os.path.realpath(local)).parts
    # Not urlsplit, which ends a path at ? and #.
    scheme, _, rest = path.partition("://")
    host, slash, below = rest.partition("/")
    return f"{scheme}://{host}", PurePosixPath(os.path.normpath(slash + below or "/")).parts
