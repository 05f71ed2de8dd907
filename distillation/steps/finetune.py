"""Step `finetune`: the teachers. For each fold an ensemble that has not seen the fold's judgements, and one for all.

`FOLD/cross-N/` holds a cross-encoder in transformers' layout (`FOLD` is `fold-0` … and `final`); trees are
fitted again in seconds where they are needed, and not kept. `oof.parquet` has what each view, and the teacher, says
of every measured row, out of fold; `report.json` the loss and the AUC of each.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.folds import Fold, JudgedRows, folds_of, read_judged
from distillation.encoder.base_encoder import load_tokenizer
from distillation.metrics import auc
from distillation.pipeline.workspace import Context, write_columns, write_json
from distillation.recipe.recipe import Trees
from distillation.teacher.cross_encoder import pair_ids, predict
from distillation.teacher.ensemble import (
    CROSS_ENCODER,
    TEACHER,
    TREES,
    combine,
    fit_judged,
    fit_trees,
    open_reader,
    pair_features,
    read_history,
    warm_up,
)

FOLDER: Final = "finetune"
Floats = npt.NDArray[np.float32]


def run(context: Context) -> None:
    """Fit every fold's teacher."""
    recipe, folder = context.recipe.finetune, context.folder(FOLDER)
    judged = read_judged(context)
    folds = folds_of(judged)
    views: dict[str, Floats] = {}
    histories: dict[str, list[float]] = {}
    if recipe.members:
        source = context.folder("pretrain") / "encoder"
        views[CROSS_ENCODER], histories = fit_cross_encoders(context, judged, folds, source, folder)
    if recipe.trees is not None:
        views[TREES] = _trees(context, recipe.trees, judged, folds)
    views[TEACHER] = combine(context, views)
    relevant, measured = judged.relevant[judged.measured], judged.measured
    aucs = {name: round(auc(relevant, logits[measured]), 4) for name, logits in views.items()}
    for name, value in aucs.items():
        context.progress.say(f"finetune: {name}, out of fold: AUC {value:.3f}")
    write_columns(folder / "oof.parquet", views)
    write_json(folder / "report.json", {"auc": aucs, "loss": histories})


def fit_cross_encoders(
    context: Context, judged: JudgedRows, folds: Sequence[Fold], source: Path, folder: Path
) -> tuple[Floats, dict[str, list[float]]]:
    """Fit the recipe's cross-encoders for `folds` from the encoder in `source`, below `folder`.

    Returns
    -------
    tuple
        Their mean logits, float32 [judged rows], NaN where no fold measures; and the loss over time of each fit.
    """
    members = range(context.recipe.finetune.members)
    logits = _unmeasured(judged)
    warm = [warm_up(context, source, folder / f"warm-{member}", member) for member in members]
    histories = {path.name: read_history(path) for path in warm}
    for fold in folds:
        paths = [
            fit_judged(context, judged, fold.train, path, folder / fold.name / f"cross-{member}", member=member)
            for member, path in enumerate(warm)
        ]
        histories |= {f"{fold.name} {path.name}": read_history(path) for path in paths}
        rows, queries, titles = judged.part(fold.test)
        if queries:
            ids = pair_ids(load_tokenizer(paths[0]), queries, titles, context.recipe.encoder)
            logits[rows] = np.mean([predict(open_reader(path), ids) for path in paths], axis=0)
    for path in warm:
        # Only the judged fits are asked later on.
        shutil.rmtree(path.with_name(path.name + ".state"), ignore_errors=True)
    return logits, histories


def _trees(context: Context, recipe: Trees, judged: JudgedRows, folds: Sequence[Fold]) -> Floats:
    logits, features = _unmeasured(judged), pair_features(context)
    for fold in folds:
        rows, queries, titles = judged.part(fold.test)
        if queries:
            trees = fit_trees(recipe, judged, fold.train, features, seed=context.recipe.seed)
            logits[rows] = trees.predict(queries, titles)
    return logits


def _unmeasured(judged: JudgedRows) -> Floats:
    return np.full(len(judged.queries), np.nan, dtype=np.float32)
