"""Step `student`: the judged stage of every fold's student and of the student that ships, from the shared stage on.

`FOLD/` has the weights as safetensors; `oof.parquet` the logits of the measured rows, each by the student of the fold
that measures it.
"""

from __future__ import annotations

from typing import Final

from distillation.data.folds import folds_of
from distillation.pipeline.workspace import Context, write_columns, write_json
from distillation.steps.shared_stage import shared_student, student_training_data
from distillation.student.cross_validation import fit_folds
from evaluation.metrics import auc

FOLDER: Final = "student"


def run(context: Context) -> None:
    """Train the students."""
    folder = context.folder(FOLDER)
    data = student_training_data(context)
    judged = data.judged
    logits, history = fit_folds(
        data,
        folds_of(judged),
        shared_student(data),
        context.recipe.student.judged,
        soft=data.soft,
        replay=data.shared,
        title="student",
        folder=folder,
    )
    value = auc(judged.relevant[judged.measured], logits[judged.measured])
    context.progress.say(f"student: out of fold, AUC {value:.3f}")
    write_columns(folder / "oof.parquet", {"student": logits})
    write_json(folder / "report.json", {"auc": round(value, 4), "loss": history})
