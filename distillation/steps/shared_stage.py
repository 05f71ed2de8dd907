"""Step `shared-stage`: the student's first stage, which no judgement and no teacher has a part in.

`tokenizer.json` is the student's vocabulary, `weights/` what it knows afterwards; the students of all folds start
there.
"""

from __future__ import annotations

from typing import Final

from distillation.pipeline.workspace import Context, write_json
from distillation.student.bilstm import BertBiLSTM
from distillation.student.training import fit_shared, load_student, losses
from distillation.student.training_data import TOKENIZER, TrainingData, build

FOLDER: Final = "shared-stage"
WEIGHTS: Final = "weights"


def run(context: Context) -> None:
    """Train the vocabulary and the stage."""
    folder = context.folder(FOLDER)
    material = student_material(context)
    fit_shared(
        material.blank_student(),
        material.table,
        material.twin_vectors(),
        material.shared,
        context.recipe.student.shared,
        context=context,
        title="student, shared stage",
        folder=folder / WEIGHTS,
    )
    write_json(folder / "report.json", {"loss": losses(folder / WEIGHTS)})


def student_material(context: Context) -> TrainingData:
    """Return what the student that ships is made of; its vocabulary is in this step's folder."""
    return build(context, context.recipe.student.sizes, context.folder(FOLDER) / TOKENIZER)


def shared_student(material: TrainingData) -> BertBiLSTM:
    """Return the student as this step left it."""
    return load_student(material.blank_student(taught=False), material.context.folder(FOLDER) / WEIGHTS)
