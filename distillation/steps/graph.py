"""The steps of a distillation, in order: what each reads, and when it has to be run again."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import Any, Final

from distillation.errors import DataError, StepError
from distillation.pipeline.fingerprint import code_digest, value_digest
from distillation.pipeline.workspace import (
    Context,
    StepRecord,
    begin,
    changed,
    finish,
    is_finished,
    is_whole,
    read_record,
)
from qtr_runtime.terminal import duration


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        Its word on the command line, and its folder.
    summary
        What it does, for people.
    module
        Module of this package with `run(context)`, and perhaps `sources(context)`: digests of what it reads besides
        other steps' files and the encoder.
    parts
        Parts of the recipe that it reads, dotted; with the encoder's name go its weights.
    reads
        Steps whose files it reads.
    optional
        Whether `qtr distill run` leaves it out.
    """

    name: str
    summary: str
    module: str
    parts: tuple[str, ...]
    reads: tuple[str, ...] = ()
    optional: bool = False


CODE: Final = "code"
_SOURCES: Final = "sources"
_COSINE: Final = ("pseudo_label.cosine_slope", "pseudo_label.cosine_centre")
_SHARED: Final = ("student.sizes", "student.shared", "student.embeddings", "student.dropout", *_COSINE)
_TEACHER: Final = ("seed", "encoder", "finetune", "evaluation.guard", *_COSINE)
_STUDENT: Final = ("seed", "encoder.name", "pseudo_label", "student", "evaluation.guard")
# A student of any size.
_TRAINING: Final = (
    *("seed", "encoder.name", "pseudo_label", "evaluation.guard"),
    *("student.shared", "student.judged", "student.embeddings", "student.dropout"),
)
STEPS: Final = (
    Step(
        "prepare",
        "read the data through its adapters, check it, draw the folds",
        "prepare",
        ("seed", "data", "evaluation.folds", "evaluation.groups"),
    ),
    Step(
        "pretrain",
        "masked-word training of the encoder on the titles",
        "pretrain",
        ("seed", "encoder", "pretrain"),
        ("prepare",),
    ),
    Step(
        "finetune",
        "the teacher: an ensemble of views, out of fold",
        "finetune",
        _TEACHER,
        ("prepare", "pretrain"),
    ),
    Step(
        "augment",
        "make query-title pairs that nobody judged",
        "augment",
        ("seed", "encoder.name", "augment", "evaluation.guard"),
        ("prepare",),
    ),
    Step(
        "pseudo-label",
        "label them: teachers served by qtr's server, called by its Spark job",
        "pseudo_label",
        (*_TEACHER, "pseudo_label"),
        ("prepare", "finetune", "augment"),
    ),
    Step(
        "shared-stage",
        "the student's first stage: what augmented pairs, weak labels and the encoder's vectors teach",
        "shared_stage",
        ("seed", "encoder.name", "evaluation.guard", *_SHARED),
        ("prepare", "pretrain", "augment"),
    ),
    Step(
        "student",
        "train the students, one per fold and the one to ship",
        "student",
        _STUDENT,
        ("prepare", "pretrain", "augment", "pseudo-label", "shared-stage"),
    ),
    Step(
        "sweep",
        "students of several sizes: accuracy against time per pair",
        "sweep",
        (*_TRAINING, "sweep", "export"),
        ("prepare", "pretrain", "augment", "pseudo-label"),
        optional=True,
    ),
    Step(
        "compare",
        "what the table compares with: teachers off the shelf, students without distillation or augmentation",
        "compare",
        (*_TEACHER, "pseudo_label", "student", "evaluation.off_the_shelf"),
        ("prepare", "pretrain", "finetune", "augment", "pseudo-label", "shared-stage"),
    ),
    Step(
        "evaluate",
        "measure everything out of fold; calibration, threshold, table and plots",
        "evaluate",
        ("seed", "encoder.name", "evaluation", "export", "student.sizes", "sweep.timed_pairs", "name", "version"),
        ("prepare", "finetune", "augment", "shared-stage", "student", "compare"),
    ),
    Step(
        "export",
        "write the bundle, refused unless it agrees with the trained student",
        "export",
        (),
        ("prepare", "pretrain", "finetune", "augment", "pseudo-label", "shared-stage", "student", "evaluate"),
    ),
)
BY_NAME: Final = {step.name: step for step in STEPS}


def run_step(step: Step, context: Context) -> None:
    """Run one step, unless it is finished and nothing that it reads has changed.

    Steps before it that other code made are announced, and used.

    Raises
    ------
    StepError
        If a step that it builds on has not finished, was made of other data or of another recipe, or was altered.
    """
    other_code = []
    for name in _foundations(step):
        differing = out_of_date(name, context)
        if differing == [CODE]:
            other_code.append(name)
        elif differing:
            told = ", ".join(differing)
            said = f"{step.name} builds on {name}, which is out of date ({told})"
            raise StepError(f"{said}: run it again, or qtr distill run")
    if other_code:
        context.progress.say(f"{step.name}: other code than this made {', '.join(other_code)}")
    _run(step, context)


def run_all(context: Context) -> None:
    """Run every step in order, the optional ones aside."""
    for step in STEPS:
        if not step.optional:
            _run(step, context)


def out_of_date(name: str, context: Context) -> list[str]:
    """Return what is not as it was when the step last ran: "recipe", "sources", "code", …; nothing if it stands.

    Sources that are not at hand are taken to be as they were, aloud: whoever goes on from a work folder needs none.

    Raises
    ------
    StepError
        If it, or a step that it reads, has not finished.
    """
    folder, record = context.folder(name), _finished(name, context)
    inputs = step_inputs(BY_NAME[name], context, at_hand=False)
    differing = [what for what, digest in inputs.items() if record.inputs.get(what) != digest]
    return differing if is_whole(folder, record) else [*differing, "its files"]


def _foundations(step: Step) -> list[str]:
    """Return the steps that `step` builds on, near and far, in order."""
    wanted, pending = set(), list(step.reads)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += BY_NAME[name].reads
    return [step.name for step in STEPS if step.name in wanted]


def _run(step: Step, context: Context) -> None:
    inputs = step_inputs(step, context)
    folder = context.folder(step.name)
    say = context.progress.say
    if is_finished(folder, inputs):
        say(f"{step.name}: finished before, nothing it reads has changed")
        return
    differing = changed(folder, inputs)
    resumed = begin(folder, step.name, inputs)
    if differing:
        say(f"{step.name}: changed since it last ran: {', '.join(differing)}")
    say(f"{step.name}: {'going on where it was interrupted' if resumed else step.summary}")
    estimate = importlib.import_module("distillation.steps.estimate").step_seconds(step.name, context)
    if estimate is not None:
        say(f"{step.name}: about {duration(estimate)} on this machine, from its row counts")
    started = time.monotonic()
    importlib.import_module(f"distillation.steps.{step.module}").run(context)
    finish(folder, step.name, inputs, time.monotonic() - started)
    say(f"{step.name}: finished in {duration(time.monotonic() - started)}")


def step_inputs(step: Step, context: Context, *, at_hand: bool = True) -> dict[str, str]:
    """Return a digest of each thing that decides what a step writes.

    Sources that need not be `at_hand` are left out where they cannot be read.

    Raises
    ------
    StepError
        If a step that it reads has not finished.
    DataError
        If a source cannot be read.
    """
    inputs: dict[str, str] = {}
    for name in step.reads:
        inputs[f"files of {name}"] = value_digest(_finished(name, context).files)
    module = importlib.import_module(f"distillation.steps.{step.module}")
    recipe = context.recipe.model_dump(mode="json")
    inputs["recipe"] = value_digest({part: _lookup(recipe, part) for part in step.parts or tuple(recipe)})
    try:
        inputs[_SOURCES] = value_digest(module.sources(context) if hasattr(module, "sources") else {})
    except DataError as error:
        if at_hand:
            raise
        context.progress.say(f"{step.name}: its data are not at hand, and taken to be as they were ({error})")
    if {"encoder", "encoder.name"}.intersection(step.parts or tuple(recipe)):
        encoder = importlib.import_module("distillation.encoder.base_encoder")
        inputs["encoder"] = encoder.encoder_digest(context.recipe.encoder.name)
    inputs[CODE] = code_digest(f"distillation.steps.{step.module}")
    return inputs


def _finished(name: str, context: Context) -> StepRecord:
    record = read_record(context.folder(name))
    if record is None or not record.finished:
        raise StepError(f"{name} has not finished: run it first, or qtr distill run")
    return record


def _lookup(recipe: dict[str, Any], part: str) -> Any:
    value: Any = recipe
    for name in part.split("."):
        value = value[name]
    return value


def named(name: str) -> Step:
    """Return the step of this name."""
    return BY_NAME[name]
