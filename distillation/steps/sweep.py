"""Step `sweep`: AUC and time per pair of students of several sizes, each trained for a share of the epochs.

`sweep.json` lists a point per size: `name`, `auc` out of fold, `us_per_pair` in one thread, `bytes`. The size to ship
is then chosen by hand and written into the recipe.
"""

from __future__ import annotations

import shutil
from typing import Any, Final

import numpy as np

from distillation.bundle.student_bundle import draft_manifest, microseconds_per_pair, write_student
from distillation.data.folds import folds_of
from distillation.errors import StepError
from distillation.pipeline.workspace import Context, read_columns, read_json, write_json
from distillation.recipe.recipe import Sizes
from distillation.student.cross_validation import fit_folds
from distillation.student.training import fit_shared
from distillation.student.training_data import TOKENIZER, TrainingData
from evaluation.metrics import auc
from relevance_model.bundle import Bundle

FOLDER: Final = "sweep"


def sources(context: Context) -> dict[str, Any]:
    """Return the sizes to compare; the result does not depend on which of them ships."""
    return {"sizes": [sizes.model_dump() for sizes in _sizes(context)]}


def run(context: Context) -> None:
    """Train and time every size; points of an earlier run are reused."""
    points = []
    for number, sizes in enumerate(_sizes(context)):
        kept = context.folder(FOLDER) / f"size-{number}" / "point.json"
        if not kept.exists():
            write_json(kept, _point(context, sizes, f"size-{number}"))
        points.append(read_json(kept))
        point = points[-1]
        context.progress.say(f"sweep: {point['name']}: AUC {point['auc']:.3f}, {point['us_per_pair']:.1f} µs a pair")
    write_json(context.folder(FOLDER) / "sweep.json", points)


def _sizes(context: Context) -> list[Sizes]:
    return context.recipe.sweep.sizes or [context.recipe.student.sizes]


def _point(context: Context, sizes: Sizes, name: str) -> dict[str, Any]:
    recipe, folder = context.recipe, context.folder(FOLDER) / name
    share = recipe.sweep.share
    data = TrainingData.build(context, sizes, folder / TOKENIZER)
    judged = data.judged
    shared = fit_shared(
        data.initialized_student(),
        data.table,
        data.twin_vectors(),
        data.shared,
        recipe.student.shared,
        context=context,
        title=f"sweep {size_name(sizes)}, shared stage",
        folder=folder / "shared",
        epochs=recipe.student.shared.epochs * share,
    )
    logits, _ = fit_folds(
        data,
        [fold for fold in folds_of(judged) if fold.test.any()][: recipe.sweep.folds],
        shared,
        recipe.student.judged.model_copy(update={"epochs": max(1, round(recipe.student.judged.epochs * share))}),
        soft=data.soft,
        replay=data.shared,
        title=f"sweep {size_name(sizes)}",
        folder=folder,
    )
    measured = ~np.isnan(logits)
    manifest = draft_manifest(sizes, name=recipe.name, version=recipe.version)
    bundle = write_student(shared, data.tokenizer, folder / "bundle", manifest, precision=recipe.export.precision)
    timed = microseconds_per_pair(bundle, *timed_pairs(context))
    size = sum(file.stat().st_size for file in bundle.path.iterdir())
    shutil.rmtree(bundle.path)
    return {
        "name": size_name(sizes),
        "auc": round(auc(judged.relevant[measured], logits[measured]), 4),
        "us_per_pair": round(timed, 1),
        "bytes": size,
        "sizes": sizes.model_dump(),
    }


def current_points(context: Context) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the points of the sweep if it has these data and this recipe, and the names of the inputs that differ."""
    path = context.folder(FOLDER) / "sweep.json"
    if not path.exists():
        return [], []
    from distillation.steps.graph import CODE, out_of_date

    try:
        differing = [what for what in out_of_date("sweep", context) if what != CODE]
    except StepError:
        return [], []
    return ([] if differing else read_json(path)), differing


def speed_points(context: Context, bundle: Bundle, shipped_auc: float) -> list[dict[str, Any]]:
    """Return the sweep's points, or only the shipped student's if there is no sweep or it is out of date."""
    points, differing = current_points(context)
    if differing:
        changes = ", ".join(differing)
        context.progress.say(
            f"evaluate: the sweep is out of date ({changes}) and left out; qtr distill sweep updates it"
        )
    if points:
        return points
    timed = microseconds_per_pair(bundle, *timed_pairs(context))
    return [
        {"name": size_name(context.recipe.student.sizes), "auc": round(shipped_auc, 4), "us_per_pair": round(timed, 1)}
    ]


def timed_pairs(context: Context) -> tuple[list[str], list[str]]:
    """Return queries and titles to time: pairs of the log in the order of their titles, as the Spark job sends them.

    Without a log, they are augmented pairs.
    """
    pairs = read_columns(context.folder("prepare") / "pairs.parquet")
    if not pairs["title"]:
        pairs = read_columns(context.folder("augment") / "pairs.parquet", ["query", "title"])
    rank = {title: number for number, title in enumerate(dict.fromkeys(pairs["title"]))}
    rows = sorted(range(len(pairs["title"])), key=lambda row: rank[pairs["title"][row]])
    del rows[context.recipe.sweep.timed_pairs :]
    return [pairs["query"][row] for row in rows], [pairs["title"][row] for row in rows]


def size_name(sizes: Sizes) -> str:
    """Return a short name of sizes: embedding, LSTM and twin vector, and the vocabulary in thousands of pieces."""
    return f"{sizes.embedding}/{sizes.hidden}/{sizes.vector}, {sizes.vocabulary / 1000:g}k"
