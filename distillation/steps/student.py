"""Step `student`: the judged stage for every fold and for the student that ships, each from the shared stage on.

`FOLD/` holds weights as safetensors; `oof.parquet` has the logits of the measured rows, each from the student of
the fold that measures it.
"""

from __future__ import annotations

from typing import Final

from distillation.data.folds import folds_of
from distillation.metrics import auc
from distillation.pipeline.workspace import Context, write_columns, write_json
from distillation.steps.shared_stage import shared_student, student_material
from distillation.student.cross_validation import fit_folds

FOLDER: Final = "student"


def run(context: Context) -> None:
    """Train the students."""
    folder = context.folder(FOLDER)
    material = student_material(context)
    judged = material.judged
    logits, history = fit_folds(
        material,
        folds_of(judged),
        shared_student(material),
        context.recipe.student.judged,
        soft=material.soft,
        replay=material.shared,
        title="student",
        folder=folder,
    )
    value = auc(judged.relevant[judged.measured], logits[judged.measured])
    context.progress.say(f"student: out of fold, AUC {value:.3f}")
    write_columns(folder / "oof.parquet", {"student": logits})
    write_json(folder / "report.json", {"auc": round(value, 4), "loss": history})
