"""Step `compare`: what a table needs beside the student to show where its worth comes from.

- *teacher off the shelf*: the same ensemble, its cross-encoders fine-tuned from the encoder as it comes, without
  reading titles first;
- *student without distillation*: the same network, from random weights, on the judgements alone, in passes enough for
  it;
- *student without augmentation*: distilled as the student is, but on given pairs only: the judged rows and the log.

All are out of fold, in `oof.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from distillation.data.folds import Fold, JudgedRows, folds_of
from distillation.pipeline.workspace import Context, read_columns, write_columns
from distillation.steps.augment import LOG
from distillation.steps.finetune import fit_cross_encoders
from distillation.steps.pseudo_label import JUDGED
from distillation.steps.shared_stage import student_material
from distillation.student.cross_validation import Floats, fit_folds
from distillation.student.training import fit_shared
from distillation.student.training_data import TrainingData
from distillation.teacher import ensemble

FOLDER: Final = "compare"
NO_DISTILLATION: Final = "student without distillation"
NO_AUGMENTATION: Final = "student without augmentation"
TEACHER: Final = "teacher off the shelf"
CROSS_ENCODER: Final = "cross-encoder off the shelf"
# From random weights, on few rows, a handful of passes would be an unfair measure.
_PASSES: Final = 30


def run(context: Context) -> None:
    """Fit them all."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    material = student_material(context)
    folds = [fold for fold in folds_of(material.judged) if fold.test.any()]
    columns: dict[str, Floats] = {}
    if recipe.evaluation.off_the_shelf and recipe.finetune.members:
        columns |= _off_the_shelf(context, material.judged, folds)
    columns[NO_DISTILLATION] = _without_distillation(material, folds)
    columns[NO_AUGMENTATION] = _without_augmentation(material, folds)
    write_columns(folder / "oof.parquet", columns)


def _off_the_shelf(context: Context, judged: JudgedRows, folds: Sequence[Fold]) -> dict[str, Floats]:
    folder = context.folder(FOLDER) / "off-the-shelf"
    cross, _ = fit_cross_encoders(context, judged, folds, ensemble.base_encoder(context), folder)
    # The trees read the encoder as it comes anyway.
    fitted = read_columns(context.folder("finetune") / "oof.parquet")
    views = {ensemble.CROSS_ENCODER: cross}
    if ensemble.TREES in fitted:
        views[ensemble.TREES] = fitted[ensemble.TREES]
    return {TEACHER: ensemble.combine(context, views), CROSS_ENCODER: cross}


def _without_distillation(material: TrainingData, folds: Sequence[Fold]) -> Floats:
    recipe = material.context.recipe.student.judged.model_copy(update={"epochs": _PASSES, "learning_rate": 2e-3})
    logits, _ = fit_folds(
        material,
        folds,
        material.blank_student(taught=False),
        recipe,
        soft=lambda _: material.no_rows(),
        replay=None,
        title=NO_DISTILLATION,
        folder=material.context.folder(FOLDER) / "no-distillation",
    )
    return logits


def _without_augmentation(material: TrainingData, folds: Sequence[Fold]) -> Floats:
    context, recipe = material.context, material.context.recipe.student
    folder = context.folder(FOLDER) / "no-augmentation"
    given = material.shared_of({LOG})
    start = material.blank_student()
    if len(given):
        start = fit_shared(
            start,
            material.table,
            material.twin_vectors(),
            given,
            recipe.shared,
            context=context,
            title=f"{NO_AUGMENTATION}, shared stage",
            folder=folder / "shared",
        )
    logits, _ = fit_folds(
        material,
        folds,
        start,
        recipe.judged,
        soft=lambda fold: material.soft(fold, {JUDGED, LOG}),
        replay=given,
        title=NO_AUGMENTATION,
        folder=folder,
    )
    return logits
