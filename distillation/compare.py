"""Step ``compare``: what a table needs beside the student to show where its worth comes from.

- *teacher off the shelf*: the same ensemble, its cross-encoders fine-tuned from the encoder as it comes, without
  reading titles first;
- *student without distillation*: the same network, from random weights, on the judgements alone, in passes enough for
  it;
- *student without augmentation*: distilled as the student is, but on given pairs only: the judged rows and the log.

All are out of fold, in ``oof.parquet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.augment import LOG
from distillation.encoder import encoder_digest
from distillation.finetune import fit_teachers
from distillation.fit_students import TargetRows, fit_judged, fit_shared, judged_rows, student_logits
from distillation.folds import Fold, folds_of
from distillation.material import TOKENIZER, Material, gather
from distillation.model import BertBiLSTM
from distillation.pseudo_label import JUDGED
from distillation.teacher import base_encoder
from distillation.work import Context, write_columns

FOLDER: Final = "compare"
NO_DISTILLATION: Final = "student without distillation"
NO_AUGMENTATION: Final = "student without augmentation"
TEACHER: Final = "teacher off the shelf"
CROSS_ENCODER: Final = "cross-encoder off the shelf"
# From random weights, on few rows, a handful of passes would be an unfair measure.
_PASSES: Final = 30
Floats = npt.NDArray[np.float32]


def sources(context: Context) -> dict[str, str]:
    """Return the digest of the base encoder."""
    return {"encoder": encoder_digest(context.recipe.encoder.name)}


def run(context: Context) -> None:
    """Fit them all."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    material = gather(context, recipe.student.sizes, folder / TOKENIZER)
    folds = [fold for fold in folds_of(material.judged) if fold.test.any()]
    columns: dict[str, Floats] = {}
    if recipe.evaluation.off_the_shelf and recipe.finetune.members:
        views, _ = fit_teachers(context, material.judged, folds, base_encoder(context), folder / "off-the-shelf")
        columns |= {TEACHER: views["teacher"], CROSS_ENCODER: views["cross-encoder"]}
    columns[NO_DISTILLATION] = _without_distillation(material, folds)
    columns[NO_AUGMENTATION] = _without_augmentation(material, folds)
    write_columns(folder / "oof.parquet", columns)


def _without_distillation(material: Material, folds: Sequence[Fold]) -> Floats:
    context, table = material.context, material.table
    nothing = TargetRows.of(table, [], [], np.zeros(0, dtype=np.float32))
    recipe = context.recipe.student.judged.model_copy(update={"epochs": _PASSES, "learning_rate": 2e-3})
    start = material.blank_student(taught=False)
    fits = {
        fold.name: fit_judged(
            start,
            table,
            judged_rows(table, material.judged, fold.train),
            nothing,
            replay=None,
            recipe=recipe,
            context=context,
            title=f"{NO_DISTILLATION}, {fold.name}",
            folder=context.folder(FOLDER) / "no-distillation" / fold.name,
        )
        for fold in folds
    }
    return _out_of_fold(material, folds, fits)


def _without_augmentation(material: Material, folds: Sequence[Fold]) -> Floats:
    context, table, recipe = material.context, material.table, material.context.recipe.student
    folder = context.folder(FOLDER) / "no-augmentation"
    given = material.shared_of({LOG})
    start = material.blank_student()
    if len(given):
        start = fit_shared(
            start,
            table,
            material.twin_vectors(),
            given,
            recipe.shared,
            context=context,
            title=f"{NO_AUGMENTATION}, shared stage",
            folder=folder / "shared",
        )
    fits = {
        fold.name: fit_judged(
            start,
            table,
            judged_rows(table, material.judged, fold.train),
            material.soft(fold.name, {JUDGED, LOG}),
            replay=given,
            recipe=recipe.judged,
            context=context,
            title=f"{NO_AUGMENTATION}, {fold.name}",
            folder=folder / fold.name,
        )
        for fold in folds
    }
    return _out_of_fold(material, folds, fits)


def _out_of_fold(material: Material, folds: Sequence[Fold], fits: dict[str, BertBiLSTM]) -> Floats:
    judged, table = material.judged, material.table
    query_rows, title_rows = table.rows(judged.queries), table.rows(judged.titles)
    logits = np.full(len(judged.queries), np.nan, dtype=np.float32)
    for fold in folds:
        test = np.flatnonzero(fold.test)
        logits[test] = student_logits(fits[fold.name], table, query_rows[test], title_rows[test])
    return logits
