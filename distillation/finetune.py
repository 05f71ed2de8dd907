"""Step ``finetune``: the teachers. For each fold an ensemble that has not seen the fold's judgements, and one for all.

``FOLD/cross-N/`` holds a cross-encoder in transformers' layout (``FOLD`` is ``fold-0`` … and ``final``); trees are
fitted again in seconds where they are needed, and not kept. ``oof.parquet`` has what each view, and the teacher, says
of every measured row, out of fold; ``report.json`` the loss and the AUC of each.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.cross_encoder import pair_ids, predict
from distillation.encoder import encoder_digest, load_tokenizer
from distillation.folds import Fold, JudgedRows, folds_of, read_judged
from distillation.measures import auc
from distillation.teacher import (
    CROSS_ENCODER,
    TEACHER,
    TREES,
    fit_judged,
    fit_trees,
    mix,
    open_reader,
    pair_features,
    read_history,
    warm_up,
)
from distillation.work import Context, write_columns, write_json

FOLDER: Final = "finetune"
Floats = npt.NDArray[np.float32]


def sources(context: Context) -> dict[str, str]:
    """Return the digest of the frozen encoder that the trees read."""
    return {"encoder": encoder_digest(context.recipe.encoder.name)}


def run(context: Context) -> None:
    """Fit every fold's teacher."""
    judged = read_judged(context)
    source = context.folder("pretrain") / "encoder"
    views, histories = fit_teachers(context, judged, folds_of(judged), source, context.folder(FOLDER))
    relevant, measured = judged.relevant[judged.measured], judged.measured
    aucs = {name: round(auc(relevant, logits[measured]), 4) for name, logits in views.items()}
    for name, value in aucs.items():
        context.progress.say(f"finetune: {name}, out of fold: AUC {value:.3f}")
    write_columns(context.folder(FOLDER) / "oof.parquet", views)
    write_json(context.folder(FOLDER) / "report.json", {"auc": aucs, "loss": histories})


def fit_teachers(
    context: Context, judged: JudgedRows, folds: Sequence[Fold], source: Path, folder: Path
) -> tuple[dict[str, Floats], dict[str, list[float]]]:
    """Fit teachers for ``folds`` from the encoder in ``source``, below ``folder``.

    Returns
    -------
    tuple
        Logits of each view and of the ``teacher`` for the judged rows, NaN where no fold measures them; and losses.
    """
    recipe = context.recipe.finetune
    blank = np.full(len(judged.queries), np.nan, dtype=np.float32)
    views: dict[str, Floats] = {}
    histories: dict[str, list[float]] = {}
    if recipe.members:
        views[CROSS_ENCODER] = blank.copy()
        warm = [warm_up(context, source, folder / f"warm-{member}", member) for member in range(recipe.members)]
        histories |= {path.name: read_history(path) for path in warm}
        for fold in folds:
            paths = [
                fit_judged(context, judged, fold.train, path, folder / fold.name / f"cross-{member}", member=member)
                for member, path in enumerate(warm)
            ]
            histories |= {f"{fold.name} {path.name}": read_history(path) for path in paths}
            rows, queries, titles = judged.part(fold.test)
            if queries:
                ids = pair_ids(load_tokenizer(paths[0]), queries, titles, context.recipe.encoder)
                views[CROSS_ENCODER][rows] = np.mean([predict(open_reader(path), ids) for path in paths], axis=0)
        for path in warm:
            # Only the judged fits are asked later on.
            shutil.rmtree(path.with_name(path.name + ".state"), ignore_errors=True)
    if recipe.trees is not None:
        views[TREES] = blank.copy()
        features = pair_features(context)
        for fold in folds:
            rows, queries, titles = judged.part(fold.test)
            if queries:
                trees = fit_trees(recipe.trees, judged, fold.train, features, seed=context.recipe.seed)
                views[TREES][rows] = trees.predict(queries, titles)
    return {**views, TEACHER: mix(context, views)}, histories
