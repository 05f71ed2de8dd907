"""Which files an input names.

Files are judged by name and first bytes (`spark_jobs.input.file_formats`) before Spark opens any of them. Spark reads
all files in the format of the first, skips files in sub-folders, and reports most errors as "file is damaged".
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

from spark_jobs.errors import InputError
from spark_jobs.input.file_formats import Files, format_of
from spark_jobs.storage.paths import without_file_scheme

log = logging.getLogger(__name__)

_TAB_SEPARATED = frozenset({".tsv", ".tab"})
_TABLE_FOLDERS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
_MARKER_FILES = ("_SUCCESS", "_metadata", "_common_metadata", "_committed_", "_started_", "_temporary")


@dataclass(frozen=True)
class InputFile:
    """A file with rows.

    Attributes
    ----------
    path
        The path, with its scheme.
    size
        Bytes as stored.
    root
        The folder below which Hive-style folders give columns; without such folders, the folder of the file.
    partitions
        Names of the columns that Hive-style folders (`name=value`) between the two give.
    format
        `parquet`, `csv` or `json`.
    compression
        `gzip`, `bzip2`, `Zstandard`, or empty.
    """

    path: str
    size: int
    root: str
    partitions: tuple[str, ...]
    format: str
    compression: str

    @property
    def shown(self) -> str:
        """The path, as messages name it."""
        return without_file_scheme(self.path)

    @property
    def tab_separated(self) -> bool:
        """Whether the name ends in `.tsv` or `.tab`."""
        return any(suffix.lower() in _TAB_SEPARATED for suffix in PurePosixPath(self.path).suffixes)


def find_files(files: Files, paths: Sequence[str], input_format: str) -> list[InputFile]:
    """Return the files that the inputs name, all of one format; empty files are left out.

    Raises
    ------
    InputError
        If a path does not exist or has no files; if the format of a file is unknown, is not that of its name, or
        differs from the others'; or if a folder is the storage of a table.
    """
    found: list[InputFile] = []
    for path in paths:
        roots = files.matches(path)
        if not roots:
            raise InputError(f"input {path} does not exist")
        # A glob such as FOLDER/* also matches _SUCCESS.
        not_hidden = [root for root in roots if not _is_hidden(root.rsplit("/", 1)[-1])]
        below = [file for root in not_hidden or roots for file in _below(files, root, input_format)]
        if not below:
            raise InputError(f"input {path} holds no files")
        found += below
    seen: dict[str, InputFile] = {}
    for file in found:
        if (other := seen.setdefault(_real(file.path), file)) is not file:
            if other.path != file.path:
                raise InputError(f"{file.shown} and {other.shown} are one file, by a link; its rows would come twice")
            raise InputError(f"{file.shown} is named by two inputs; its rows would come twice")
    filled = [file for file in found if file.size]
    if empty := [file for file in found if not file.size]:
        for file in empty:
            if file.format == "parquet":
                raise InputError(f"cannot read {file.shown}: it is empty, and a Parquet file never is; write it again")
        log.info("empty files left out", extra={"files": len(empty), "first": empty[0].shown})
    if not filled:
        raise InputError(f"the input {', '.join(paths)} has no rows")
    by_format = {file.format: file for file in reversed(filled)}
    if len(by_format) > 1:
        listed = ", ".join(f"{file.shown} is {kind}" for kind, file in by_format.items())
        raise InputError(
            f"the input's files have different formats ({listed}); name the files of one format, for example by a glob "
            "such as 'FOLDER/*.parquet'"
        )
    return filled


def _below(files: Files, root: str, input_format: str) -> list[InputFile]:
    found, hidden, shown = [], [], without_file_scheme(root)
    for path, size in files.walk(root):
        below = path[len(root) :].strip("/")
        parts = below.split("/") if below else []
        for part in parts[:-1]:
            if part in _TABLE_FOLDERS:
                raise InputError(
                    f"input {shown} is the storage of a {_TABLE_FOLDERS[part]} table, whose files also hold rows that "
                    "were deleted; give the table's name in Spark's catalog instead"
                )
        if any(map(_is_hidden, parts)):
            if not any(part.startswith(_MARKER_FILES) for part in parts) and not path.endswith(".crc"):
                hidden.append(path)
            continue
        if not parts and _is_hidden(root.rsplit("/", 1)[-1]):
            raise InputError(f"cannot read {shown}: Spark skips names that begin with '_' or '.'; rename it")
        keys = tuple(unquote(part.split("=", 1)[0]) for part in parts[:-1] if "=" in part)
        if keys and len(keys) != len(parts) - 1:
            raise InputError(
                f"{without_file_scheme(path)} lies in folders of which some are named NAME=VALUE and some are not; "
                "give folders whose files all lie equally deep"
            )
        distinct = {key.lower() for key in keys}
        if any(part.startswith("=") or part.endswith("=") for part in parts[:-1]) or len(distinct) != len(keys):
            raise InputError(
                f"{without_file_scheme(path)} lies in folders named NAME=VALUE of which one has no name or no value, "
                "or whose name comes twice; rename it"
            )
        kind, compression = format_of(files, path, size, input_format)
        start = root if keys else path.rsplit("/", 1)[0]
        found.append(InputFile(path, size, start, keys, kind, compression))
    if hidden:
        log.warning(
            "files with hidden names are not read",
            extra={"files": len(hidden), "first": without_file_scheme(hidden[0])},
        )
    for file in found:
        if file.partitions != found[0].partitions:
            raise InputError(
                f"{found[0].shown} and {file.shown} lie in folders that give different columns "
                f"({', '.join(found[0].partitions) or 'none'}; {', '.join(file.partitions) or 'none'}); give each as "
                "an input of its own, or move them"
            )
    return found


def _real(path: str) -> str:
    """Return a local path without links; others as they are."""
    return os.path.realpath(without_file_scheme(path)) if path.startswith("file:") else path


def _is_hidden(name: str) -> bool:
    # As in Spark; the ending is that of a file which Hadoop is copying.
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith("._COPYING_")
