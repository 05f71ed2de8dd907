"""The work folder: one folder of plain files per step, and a record of what made them.

`step.json` holds digests of a step's part of the recipe, of the files it reads and of the code behind it, and
the checksums of what it wrote. A finished step with the same digests is skipped; an unfinished one with the same goes
on from its checkpoints; with others its folder is emptied first. Names that begin with a dot are drafts, which a kill
may leave behind. One process at a time works in a work folder: it holds a lock on `.lock`, which ends with it.
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
    """What `step.json` holds.

    `inputs` has a digest for each thing that decides what the step writes: its part of the `recipe`, the `code`
    behind it, its `sources`, and the files of each step that it reads.
    """

    step: str
    inputs: dict[str, str]
    finished: bool = False
    seconds: float = 0.0
    files: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Context:
    """What a step is given.

    Attributes
    ----------
    recipe
        The whole of it; a step may read only the parts that `distillation.steps.graph` says it reads.
    work
        The work folder; each step writes below `work / its name`.
    data
        Folder that the recipe's paths are relative to.
    progress
        Where to show what is going on.
    """

    recipe: Recipe
    work: Path
    data: Path
    progress: Progress = field(default_factory=Progress)

    def folder(self, step: str) -> Path:
        """Return the folder of a step."""
        return self.work / step

    @property
    def vectors(self) -> Path:
        """The folder that keeps the frozen encoder's vectors; they outlive every step, as texts do."""
        return self.work / "vectors"


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Hold the work folder for this process alone; it is made if absent.

    Raises
    ------
    StepError
        If another process holds it, or it cannot be written.
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
            raise StepError(f"work folder {work}: another qtr distill works there; wait for it, or end it") from None
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
    """Tell whether `folder` holds a finished step with these inputs, its files unaltered."""
    record = read_record(folder)
    return record is not None and record.inputs == inputs and is_whole(folder, record)


def is_whole(folder: Path, record: StepRecord) -> bool:
    """Tell whether the step finished and its files are as it left them."""
    return record.finished and record.files == outputs(folder)


def changed(folder: Path, inputs: Mapping[str, str]) -> list[str]:
    """Return what is not as it was when the step was last begun; nothing if it never was."""
    record = read_record(folder)
    if record is None:
        return []
    differing = [name for name, digest in inputs.items() if record.inputs.get(name) != digest]
    return differing or (["its files"] if record.finished else [])


def begin(folder: Path, step: str, inputs: Mapping[str, str]) -> bool:
    """Make `folder` ready for a step; return whether an interrupted attempt with the same inputs left it to go on."""
    record = read_record(folder)
    resumed = record is not None and record.inputs == inputs and not record.finished
    if not resumed:
        try:
            if folder.is_dir() and any(folder.iterdir()):
                if not (folder / RECORD).exists():
                    raise StepError(f"work folder {folder}: holds files that no step left; name another work folder")
                # Moved first: a folder that is half gone is not taken for an interrupted attempt.
                old = folder.with_name(f".{folder.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                shutil.rmtree(folder.rename(old))
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(f"work folder {folder}: cannot be written ({error.strerror})") from None
        write_json(folder / RECORD, StepRecord(step=step, inputs=dict(inputs)).model_dump())
    return resumed


def finish(folder: Path, step: str, inputs: Mapping[str, str], seconds: float) -> StepRecord:
    """Drop checkpoints and drafts, list the files with their checksums, and mark the step as finished."""
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
    """Return the checksums of a step's files, its record and whatever begins with a dot aside."""
    return {name: digest for name, digest in tree_digests(folder).items() if name != RECORD}


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path` and move it over: a reader, or a later run, never finds half of one."""
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
    """Write columns as Parquet: lists are text, arrays keep their type."""
    table = pa.table(
        {name: pa.array(v, pa.string()) if isinstance(v, list) else pa.array(v) for name, v in columns.items()}
    )
    replace_file(path, lambda draft: pq.write_table(table, draft, compression="zstd"))


def read_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read Parquet: text columns as lists of str, the others as numpy arrays."""
    table = pq.read_table(path, columns=list(names) if names is not None else None)
    return {
        name: table[name].to_pylist() if pa.types.is_string(table[name].type) else table[name].to_numpy()
        for name in table.column_names
    }
