"""Step ``shared``: the student's first stage, which no judgement and no teacher has a part in.

``tokenizer.json`` is the student's vocabulary, ``weights/`` what it knows afterwards. All that is fitted on judgements
starts there: the students, and the *first student*, which the teacher's ensemble asks beside its other views. A network
taught by an ensemble that its own like is part of comes out better than that one (Furlanello et al., 2018, "Born-Again
Neural Networks").
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from distillation.encoder import encoder_digest
from distillation.fit_folds import Floats, fit_folds
from distillation.fit_students import fit_shared, load_student, losses, student_logits
from distillation.folds import Fold
from distillation.material import TOKENIZER, Material, gather
from distillation.model import BertBiLSTM
from distillation.teacher import FIRST_STUDENT
from distillation.work import Context, write_json

FOLDER: Final = "shared"
WEIGHTS: Final = "weights"


def sources(context: Context) -> dict[str, str]:
    """Return the digest of the frozen encoder."""
    return {"encoder": encoder_digest(context.recipe.encoder.name)}


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


def student_material(context: Context) -> Material:
    """Return what the student that ships is made of; its vocabulary is in this step's folder."""
    return gather(context, context.recipe.student.sizes, context.folder(FOLDER) / TOKENIZER)


def shared_student(material: Material) -> BertBiLSTM:
    """Return the student as this step left it."""
    return load_student(material.blank_student(taught=False), material.context.folder(FOLDER) / WEIGHTS)


def fit_first_students(
    material: Material, folds: Sequence[Fold], folder: Path
) -> tuple[Floats, dict[str, list[float]]]:
    """Fit first students: the judged stage without a teacher. See :func:`distillation.fit_folds.fit_folds`."""
    return fit_folds(
        material,
        folds,
        shared_student(material),
        material.context.recipe.finetune.first_student,
        soft=lambda _: material.no_rows(),
        replay=material.shared,
        title=FIRST_STUDENT,
        folder=folder / "first-student",
    )


def ask_first_student(
    material: Material, folder: Path, fold: Fold, queries: Sequence[str], titles: Sequence[str]
) -> Floats:
    """Return logits, float32 [N], of the fold's first student below ``folder``, for texts that ``material`` holds."""
    model = load_student(material.blank_student(taught=False), folder / "first-student" / fold.name)
    table = material.table
    return student_logits(model, table, table.rows(queries), table.rows(titles))
