"""Step `compare`: the baselines that show what each part of the method contributes.

- *teacher off the shelf*: the same ensemble without pretraining, its cross-encoders fine-tuned from the base encoder;
- *student without distillation*: the same network, trained from random weights on the judgements only;
- *student without augmentation*: distilled like the student, on given pairs only: the judged rows and the log.

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
from distillation.steps.shared_stage import student_training_data
from distillation.student.cross_validation import Floats, fit_folds
from distillation.student.training import fit_shared
from distillation.student.training_data import TrainingData
from distillation.teacher import ensemble

FOLDER: Final = "compare"
NO_DISTILLATION: Final = "student without distillation"
NO_AUGMENTATION: Final = "student without augmentation"
TEACHER: Final = "teacher off the shelf"
CROSS_ENCODER: Final = "cross-encoder off the shelf"
# A few passes over few rows, from random weights, would understate this baseline.
_PASSES: Final = 30


def run(context: Context) -> None:
    """Fit all baselines."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    data = student_training_data(context)
    folds = [fold for fold in folds_of(data.judged) if fold.test.any()]
    columns: dict[str, Floats] = {}
    if recipe.evaluation.off_the_shelf and recipe.finetune.cross_encoders:
        columns |= _off_the_shelf(context, data.judged, folds)
    columns[NO_DISTILLATION] = _without_distillation(data, folds)
    columns[NO_AUGMENTATION] = _without_augmentation(data, folds)
    write_columns(folder / "oof.parquet", columns)


def _off_the_shelf(context: Context, judged: JudgedRows, folds: Sequence[Fold]) -> dict[str, Floats]:
    folder = context.folder(FOLDER) / "off-the-shelf"
    cross, _ = fit_cross_encoders(context, judged, folds, ensemble.base_encoder(context), folder)
    # The trees use the base encoder in both cases.
    fitted = read_columns(context.folder("finetune") / "oof.parquet")
    members = {ensemble.CROSS_ENCODER: cross}
    if ensemble.TREES in fitted:
        members[ensemble.TREES] = fitted[ensemble.TREES]
    return {TEACHER: ensemble.combine(context, members), CROSS_ENCODER: cross}


def _without_distillation(data: TrainingData, folds: Sequence[Fold]) -> Floats:
    recipe = data.context.recipe.student.judged.model_copy(update={"epochs": _PASSES, "learning_rate": 2e-3})
    logits, _ = fit_folds(
        data,
        folds,
        data.new_student(),
        recipe,
        soft=lambda _: data.no_rows(),
        replay=None,
        title=NO_DISTILLATION,
        folder=data.context.folder(FOLDER) / "no-distillation",
    )
    return logits


def _without_augmentation(data: TrainingData, folds: Sequence[Fold]) -> Floats:
    context, recipe = data.context, data.context.recipe.student
    folder = context.folder(FOLDER) / "no-augmentation"
    given = data.shared_of({LOG})
    start = data.initialized_student()
    if len(given):
        start = fit_shared(
            start,
            data.table,
            data.twin_vectors(),
            given,
            recipe.shared,
            context=context,
            title=f"{NO_AUGMENTATION}, shared stage",
            folder=folder / "shared",
        )
    logits, _ = fit_folds(
        data,
        folds,
        start,
        recipe.judged,
        soft=lambda fold: data.soft(fold, {JUDGED, LOG}),
        replay=given,
        title=NO_AUGMENTATION,
        folder=folder,
    )
    return logits
