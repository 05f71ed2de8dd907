"""Step ``student``: the shared stage once, the judged stage for every fold and for the student that ships.

``tokenizer.json`` is the vocabulary; ``shared/`` and ``FOLD/`` hold weights as safetensors; ``oof.parquet`` has the
logits of the measured rows, each from the student of the fold that measures it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from distillation.encoder import encoder_digest
from distillation.fit_students import fit_judged, fit_shared, judged_rows, losses, student_logits
from distillation.folds import folds_of
from distillation.material import TOKENIZER, gather
from distillation.measures import auc
from distillation.work import Context, write_columns, write_json

FOLDER: Final = "student"


def sources(context: Context) -> dict[str, str]:
    """Return the digest of the frozen encoder."""
    return {"encoder": encoder_digest(context.recipe.encoder.name)}


def run(context: Context) -> None:
    """Train the students."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    material = gather(context, recipe.student.sizes, folder / TOKENIZER)
    judged, table = material.judged, material.table
    shared = fit_shared(
        material.blank_student(),
        table,
        material.twin_vectors(),
        material.shared,
        recipe.student.shared,
        context=context,
        title="student, shared stage",
        folder=folder / "shared",
    )
    history = {"shared": losses(folder / "shared")}
    query_rows, title_rows = table.rows(judged.queries), table.rows(judged.titles)
    logits = np.full(len(judged.queries), np.nan, dtype=np.float32)
    for fold in folds_of(judged):
        model = fit_judged(
            shared,
            table,
            judged_rows(table, judged, fold.train),
            material.soft(fold.name),
            replay=material.shared,
            recipe=recipe.student.judged,
            context=context,
            title=f"student, {fold.name}",
            folder=folder / fold.name,
        )
        history[fold.name] = losses(folder / fold.name)
        test = np.flatnonzero(fold.test)
        if len(test):
            logits[test] = student_logits(model, table, query_rows[test], title_rows[test])
    value = auc(judged.relevant[judged.measured], logits[judged.measured])
    context.progress.say(f"student: out of fold, AUC {value:.3f}")
    write_columns(folder / "oof.parquet", {"student": logits})
    write_json(folder / "report.json", {"auc": round(value, 4), "loss": history})
