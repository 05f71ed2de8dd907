"""The steps of a distillation in order: what each reads, and when it runs again."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import Any, Final

from distillation.errors import StepError
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
from evaluation.errors import DataError
from qtr_runtime.terminal import duration


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        Its name on the command line, and of its folder.
    summary
        Its description in help and progress.
    module
        Module of this package with `run(context)`, and optionally `sources(context)`: digests of what it reads besides
        other steps' files and the encoder.
    parts
        Parts of the recipe that it reads, as dotted names; `encoder.name` includes the encoder's weights.
    reads
        Steps whose files it reads.
    optional
        Whether `qtr distill run` skips it.
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
        "read and check the data, draw the folds",
        "prepare",
        ("seed", "data", "evaluation.folds", "evaluation.groups"),
    ),
    Step(
        "pretrain",
        "masked language modelling of the encoder on the titles",
        "pretrain",
        ("seed", "encoder", "pretrain"),
        ("prepare",),
    ),
    Step(
        "finetune",
        "fit the teachers, one ensemble per fold and one on all judgements",
        "finetune",
        _TEACHER,
        ("prepare", "pretrain"),
    ),
    Step(
        "augment",
        "make unjudged query-title pairs",
        "augment",
        ("seed", "encoder.name", "augment", "evaluation.guard"),
        ("prepare",),
    ),
    Step(
        "pseudo-label",
        "label them with the teachers, by qtr's server and its Spark job",
        "pseudo_label",
        (*_TEACHER, "pseudo_label"),
        ("prepare", "finetune", "augment"),
    ),
    Step(
        "shared-stage",
        "train the student's first stage on augmented pairs, weak labels and the encoder's embeddings",
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
        "compare students of several sizes: accuracy and time per pair",
        "sweep",
        (*_TRAINING, "sweep", "export"),
        ("prepare", "pretrain", "augment", "pseudo-label"),
        optional=True,
    ),
    Step(
        "compare",
        "fit the baselines: teachers off the shelf, students without distillation or augmentation",
        "compare",
        (*_TEACHER, "pseudo_label", "student", "evaluation.off_the_shelf"),
        ("prepare", "pretrain", "finetune", "augment", "pseudo-label", "shared-stage"),
    ),
    Step(
        "evaluate",
        "measure all scorers out of fold; calibration, threshold, table and plots",
        "evaluate",
        ("seed", "encoder.name", "evaluation", "export", "student.sizes", "sweep.timed_pairs", "name", "version"),
        ("prepare", "finetune", "augment", "shared-stage", "student", "compare"),
    ),
    Step(
        "export",
        "write the bundle and check it against the trained student",
        "export",
        (),
        ("prepare", "pretrain", "finetune", "augment", "pseudo-label", "shared-stage", "student", "evaluate"),
    ),
)
BY_NAME: Final = {step.name: step for step in STEPS}


def run_step(step: Step, context: Context) -> None:
    """Run one step, unless it is finished and up to date.

    Earlier steps that only another version of the code made are named, and used.

    Raises
    ------
    StepError
        If a step that it depends on has not finished, or has other data, another recipe or altered files.
    """
    other_code = []
    for name in _dependencies(step):
        differing = out_of_date(name, context)
        if differing == [CODE]:
            other_code.append(name)
        elif differing:
            changes = ", ".join(differing)
            raise StepError(
                f"{step.name} depends on {name}, which is out of date ({changes}): run it again, or qtr distill run"
            )
    if other_code:
        context.progress.say(f"{step.name}: another version of the code made {', '.join(other_code)}")
    _run(step, context)


def run_all(context: Context) -> None:
    """Run every step in order, except the optional ones."""
    for step in STEPS:
        if not step.optional:
            _run(step, context)


def out_of_date(name: str, context: Context) -> list[str]:
    """Return the inputs that changed since the step last ran: "recipe", "sources", "code", …; none if it is up to date.

    Missing source files are assumed unchanged (logged), so that a work folder can be resumed without the raw data.

    Raises
    ------
    StepError
        If it, or a step that it reads, has not finished.
    """
    folder, record = context.folder(name), _finished(name, context)
    inputs = step_inputs(BY_NAME[name], context, sources_required=False)
    differing = [what for what, digest in inputs.items() if record.inputs.get(what) != digest]
    return differing if is_whole(folder, record) else [*differing, "its files"]


def _dependencies(step: Step) -> list[str]:
    """Return the steps that `step` depends on, directly or indirectly, in order."""
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
        say(f"{step.name}: finished earlier, up to date")
        return
    differing = changed(folder, inputs)
    resumed = begin(folder, step.name, inputs)
    if differing:
        say(f"{step.name}: changed since the last run: {', '.join(differing)}")
    say(f"{step.name}: {'resumes after an interruption' if resumed else step.summary}")
    estimate = importlib.import_module("distillation.steps.estimate").step_seconds(step.name, context)
    if estimate is not None:
        say(f"{step.name}: takes about {duration(estimate)} on this machine, by its row counts")
    started = time.monotonic()
    importlib.import_module(f"distillation.steps.{step.module}").run(context)
    finish(folder, step.name, inputs, time.monotonic() - started)
    say(f"{step.name}: finished in {duration(time.monotonic() - started)}")


def step_inputs(step: Step, context: Context, *, sources_required: bool = True) -> dict[str, str]:
    """Return a digest of each input that a step's files depend on.

    Unreadable sources are left out if they are not `sources_required`.

    Raises
    ------
    StepError
        If a step that it reads has not finished.
    DataError
        If a required source cannot be read.
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
        if sources_required:
            raise
        context.progress.say(f"{step.name}: its source files are missing and assumed unchanged ({error})")
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
