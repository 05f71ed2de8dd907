"""Step `shared-stage`: the student's first stage, trained without judgements and without the teacher.

`tokenizer.json` is the student's vocabulary, `weights/` are the weights that the students of all folds start from.
"""

from __future__ import annotations

from typing import Final

from distillation.pipeline.workspace import Context, write_json
from distillation.student.bilstm import BertBiLSTM
from distillation.student.training import fit_shared, load_student, losses
from distillation.student.training_data import TOKENIZER, TrainingData

FOLDER: Final = "shared-stage"
WEIGHTS: Final = "weights"


def run(context: Context) -> None:
    """Train the vocabulary and the stage."""
    folder = context.folder(FOLDER)
    data = student_training_data(context)
    fit_shared(
        data.initialized_student(),
        data.table,
        data.twin_vectors(),
        data.shared,
        context.recipe.student.shared,
        context=context,
        title="student, shared stage",
        folder=folder / WEIGHTS,
    )
    write_json(folder / "report.json", {"loss": losses(folder / WEIGHTS)})


def student_training_data(context: Context) -> TrainingData:
    """Return the training data of the student that ships; its vocabulary is in this step's folder."""
    return TrainingData.build(context, context.recipe.student.sizes, context.folder(FOLDER) / TOKENIZER)


def shared_student(data: TrainingData) -> BertBiLSTM:
    """Return the student as trained by this step."""
    return load_student(data.new_student(), data.context.folder(FOLDER) / WEIGHTS)
