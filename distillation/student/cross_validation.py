"""Cross-validation of students: one fit per fold, and its logits of the rows that the fold measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distillation.data.folds import Fold
from distillation.recipe.recipe import JudgedStage
from distillation.student.bilstm import BertBiLSTM
from distillation.student.training import SharedPairs, TargetRows, fit_judged, judged_rows, losses, student_logits
from distillation.student.training_data import TrainingData

Floats = npt.NDArray[np.float32]


def fit_folds(
    data: TrainingData,
    folds: Sequence[Fold],
    start: BertBiLSTM,
    recipe: JudgedStage,
    *,
    soft: Callable[[str], TargetRows],
    replay: SharedPairs | None,
    title: str,
    folder: Path,
) -> tuple[Floats, dict[str, list[float]]]:
    """Fit a copy of `start` for each fold, in `folder`; fits that an earlier run finished are reused.

    Parameters
    ----------
    soft
        Returns the soft labels of a fold's teacher, by the fold's name.
    replay
        Pairs of the shared stage to mix in.

    Returns
    -------
    tuple
        Logits, float32 [judged rows], NaN for rows that no fold measures; and each fold's loss over time.
    """
    judged, table = data.judged, data.table
    query_rows, title_rows = table.rows(judged.queries), table.rows(judged.titles)
    logits = np.full(len(judged.queries), np.nan, dtype=np.float32)
    histories = {}
    for fold in folds:
        model = fit_judged(
            start,
            table,
            judged_rows(table, judged, fold.train),
            soft(fold.name),
            replay=replay,
            recipe=recipe,
            context=data.context,
            title=f"{title}, {fold.name}",
            folder=folder / fold.name,
        )
        histories[fold.name] = losses(folder / fold.name)
        test = np.flatnonzero(fold.test)
        if len(test):
            logits[test] = student_logits(model, table, query_rows[test], title_rows[test])
    return logits, histories
