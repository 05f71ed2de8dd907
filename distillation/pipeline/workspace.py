"""The work folder: one folder of plain files per step, and a record of the inputs that they were made from.

`step.json` has the digests of a step's inputs (its part of the recipe, the files it reads, its code) and the checksums
of the files it wrote.

- finished, same digests: the step is skipped;
- not finished, same digests: the step resumes from its checkpoints;
- other digests: the step's folder is emptied, and the step starts again.

Names that begin with a dot are drafts, which a killed process may leave behind. One process at a time works in a work
folder: it holds a lock on `.lock`, which the kernel releases when the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from distillation.errors import StepError
from distillation.pipeline.fingerprint import tree_digests
from distillation.pipeline.progress import Progress
from distillation.recipe.recipe import Recipe

RECORD: Final = "step.json"
CHECKPOINT: Final = "checkpoint.pt"
_LOCK: Final = ".lock"


class StepRecord(BaseModel):
    """The content of `step.json`.

    `inputs` has a digest of everything that the step's files depend on: its part of the `recipe`, its `code`, its
    `sources`, and the files of each step that it reads.
    """

    step: str
    inputs: dict[str, str]
    finished: bool = False
    seconds: float = 0.0
    files: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Context:
    """The argument of every step.

    Attributes
    ----------
    recipe
        The whole recipe; a step reads only the parts that `distillation.steps.graph` lists for it.
    work
        The work folder; a step writes into `folder(its name)`.
    data
        Folder that the recipe's paths are relative to.
    progress
        Shows what the step does.
    """

    recipe: Recipe
    work: Path
    data: Path
    progress: Progress = field(default_factory=Progress)

    def folder(self, step: str) -> Path:
        """Return the folder of a step."""
        return self.work / step

    @property
    def embeddings(self) -> Path:
        """The folder that keeps the frozen encoder's embeddings; they do not depend on any step."""
        return self.work / "embeddings"


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Lock the work folder for this process; it is made if absent.

    Raises
    ------
    StepError
        If another process holds the lock, or the folder cannot be written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / _LOCK).open("a")
    except OSError as error:
        raise StepError(f"work folder {work}: cannot be written ({error.strerror})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepError(
                f"work folder {work}: in use by another qtr distill; wait until it ends, or end it"
            ) from None
        except OSError as error:
            raise StepError(f"work folder {work}: cannot be locked ({error.strerror})") from None
        yield


def read_record(folder: Path) -> StepRecord | None:
    """Return the record in `folder`, or None if there is none that can be read."""
    try:
        return StepRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def is_finished(folder: Path, inputs: Mapping[str, str]) -> bool:
    """Return whether `folder` has a finished step with these inputs and unaltered files."""
    record = read_record(folder)
    return record is not None and record.inputs == inputs and is_whole(folder, record)


def is_whole(folder: Path, record: StepRecord) -> bool:
    """Return whether the step finished and its files are unaltered."""
    return record.finished and record.files == outputs(folder)


def changed(folder: Path, inputs: Mapping[str, str]) -> list[str]:
    """Return the names of the inputs that changed since the step last started; none if it never did."""
    record = read_record(folder)
    if record is None:
        return []
    differing = [name for name, digest in inputs.items() if record.inputs.get(name) != digest]
    return differing or (["its files"] if record.finished else [])


def begin(folder: Path, step: str, inputs: Mapping[str, str]) -> bool:
    """Prepare `folder` for a step; return whether it resumes an interrupted attempt with the same inputs.

    Raises
    ------
    StepError
        If the folder has files of something else, or cannot be written.
    """
    record = read_record(folder)
    resumed = record is not None and record.inputs == inputs and not record.finished
    if not resumed:
        try:
            if folder.is_dir() and any(folder.iterdir()):
                if not (folder / RECORD).exists():
                    raise StepError(f"work folder {folder}: has files that no step wrote; name another work folder")
                # Renamed first: a folder that is only partly deleted must not look like an interrupted attempt.
                old = folder.with_name(f".{folder.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                shutil.rmtree(folder.rename(old))
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(f"work folder {folder}: cannot be written ({error.strerror})") from None
        write_json(folder / RECORD, StepRecord(step=step, inputs=dict(inputs)).model_dump())
    return resumed


def finish(folder: Path, step: str, inputs: Mapping[str, str], seconds: float) -> StepRecord:
    """Delete checkpoints and drafts, record the files with their checksums, and mark the step as finished."""
    for path in [*folder.rglob(CHECKPOINT), *folder.rglob(".*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    seconds = round(seconds, 1)
    record = StepRecord(step=step, inputs=dict(inputs), finished=True, seconds=seconds, files=outputs(folder))
    write_json(folder / RECORD, record.model_dump())
    return record


def outputs(folder: Path) -> dict[str, str]:
    """Return the checksums of a step's files, except its record and hidden files."""
    return {name: digest for name, digest in tree_digests(folder).items() if name != RECORD}


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` atomically: write a draft beside it, flush it to disk and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    write(draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as Parquet: lists as text, arrays with their dtype."""
    table = pa.table(
        {name: pa.array(v, pa.string()) if isinstance(v, list) else pa.array(v) for name, v in columns.items()}
    )
    replace_file(path, lambda draft: pq.write_table(table, draft, compression="zstd"))


def read_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read columns of Parquet: text as lists of str, others as numpy arrays."""
    table = pq.read_table(path, columns=list(names) if names is not None else None)
    return {
        name: table[name].to_pylist() if pa.types.is_string(table[name].type) else table[name].to_numpy()
        for name in table.column_names
    }
