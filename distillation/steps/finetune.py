"""Step `finetune`: the teachers, one ensemble per fold, not trained on the fold's judgements, and one on all of them.

`FOLD/cross-N/` is a cross-encoder in transformers' layout (`FOLD` is `fold-0` … or `final`); trees are not saved:
fitting them takes seconds. `oof.parquet` has the out-of-fold logits of each member and of the teacher for every
measured row; `report.json` the loss and the AUC of each.
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
from distillation.pipeline.workspace import Context, write_columns, write_json
from distillation.recipe.recipe import Trees
from distillation.teacher.cross_encoder import pair_ids, predict
from distillation.teacher.ensemble import (
    CROSS_ENCODER,
    TEACHER,
    TREES,
    WARM,
    combine,
    fit_judged,
    fit_trees,
    open_reader,
    pair_features,
    read_history,
    trees_contrast,
    warm_up,
)
from evaluation.metrics import auc

FOLDER: Final = "finetune"
Floats = npt.NDArray[np.float32]


def run(context: Context) -> None:
    """Fit every fold's teacher."""
    recipe, folder = context.recipe.finetune, context.folder(FOLDER)
    judged = read_judged(context)
    folds = folds_of(judged)
    members: dict[str, Floats] = {}
    histories: dict[str, list[float]] = {}
    if recipe.cross_encoders:
        source = context.folder("pretrain") / "encoder"
        members[CROSS_ENCODER], histories = fit_cross_encoders(context, judged, folds, source, folder)
    if recipe.trees is not None:
        members[TREES] = _trees(context, recipe.trees, judged, folds)
    members[TEACHER] = combine(context, members)
    relevant, measured = judged.relevant[judged.measured], judged.measured
    aucs = {name: round(auc(relevant, logits[measured]), 4) for name, logits in members.items()}
    for name, value in aucs.items():
        context.progress.say(f"finetune: {name}, out of fold: AUC {value:.3f}")
    write_columns(folder / "oof.parquet", members)
    write_json(folder / "report.json", {"auc": aucs, "loss": histories})


def fit_cross_encoders(
    context: Context, judged: JudgedRows, folds: Sequence[Fold], source: Path, folder: Path
) -> tuple[Floats, dict[str, list[float]]]:
    """Fit the recipe's cross-encoders for `folds` from the encoder in `source`, in `folder`.

    Returns
    -------
    tuple
        Their mean logits, float32 [judged rows], NaN for unmeasured rows; and the loss over time of each fit.
    """
    count = context.recipe.finetune.cross_encoders
    logits = _unmeasured(judged)
    warm = [warm_up(context, source, folder / f"{WARM}-{number}", number) for number in range(count)]
    histories = {path.name: read_history(path) for path in warm}
    for fold in folds:
        paths = [
            fit_judged(context, judged, fold.train, path, folder / fold.name / f"cross-{number}", number=number)
            for number, path in enumerate(warm)
        ]
        histories |= {f"{fold.name} {path.name}": read_history(path) for path in paths}
        rows, queries, titles = judged.part(fold.test)
        if queries:
            ids = pair_ids(load_tokenizer(paths[0]), queries, titles, context.recipe.encoder)
            logits[rows] = np.mean([predict(open_reader(path), ids) for path in paths], axis=0)
    for path in warm:
        # Later steps use only the judged fits.
        shutil.rmtree(path.with_name(path.name + ".state"), ignore_errors=True)
    return logits, histories


def _trees(context: Context, recipe: Trees, judged: JudgedRows, folds: Sequence[Fold]) -> Floats:
    logits, features, contrast = _unmeasured(judged), pair_features(context), trees_contrast(context)
    for fold in folds:
        rows, queries, titles = judged.part(fold.test)
        if queries:
            trees = fit_trees(recipe, judged, fold.train, features, contrast, seed=context.recipe.seed)
            logits[rows] = trees.predict(queries, titles)
    return logits


def _unmeasured(judged: JudgedRows) -> Floats:
    return np.full(len(judged.queries), np.nan, dtype=np.float32)
