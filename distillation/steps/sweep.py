"""Step `sweep`: students of several sizes, briefly trained, against the time that a pair takes them.

`sweep.json` lists a point per size: `name`, `auc` out of fold, `us_per_pair` in one thread, `bytes`. The
size to ship is chosen from that curve by a person, and written into the recipe.
"""

from __future__ import annotations

import shutil
from typing import Any, Final

import numpy as np

from distillation.bundle.student_bundle import draft_manifest, microseconds_per_pair, write_student
from distillation.data.folds import folds_of
from distillation.metrics import auc
from distillation.pipeline.workspace import Context, read_columns, read_json, write_json
from distillation.recipe.recipe import Sizes
from distillation.student.cross_validation import fit_folds
from distillation.student.training import fit_shared
from distillation.student.training_data import TOKENIZER, build

FOLDER: Final = "sweep"


def sources(context: Context) -> dict[str, Any]:
    """Return the sizes to compare; which of them ships makes no difference to any."""
    return {"sizes": [sizes.model_dump() for sizes in _sizes(context)]}


def run(context: Context) -> None:
    """Train and time every size; sizes that an earlier run finished are kept."""
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
    material = build(context, sizes, folder / TOKENIZER)
    judged = material.judged
    shared = fit_shared(
        material.blank_student(),
        material.table,
        material.twin_vectors(),
        material.shared,
        recipe.student.shared,
        context=context,
        title=f"sweep {size_name(sizes)}, shared stage",
        folder=folder / "shared",
        epochs=recipe.student.shared.epochs * share,
    )
    logits, _ = fit_folds(
        material,
        [fold for fold in folds_of(judged) if fold.test.any()][: recipe.sweep.folds],
        shared,
        recipe.student.judged.model_copy(update={"epochs": max(1, round(recipe.student.judged.epochs * share))}),
        soft=material.soft,
        replay=material.shared,
        title=f"sweep {size_name(sizes)}",
        folder=folder,
    )
    measured = ~np.isnan(logits)
    manifest = draft_manifest(sizes, name=recipe.name, version=recipe.version)
    bundle = write_student(shared, material.tokenizer, folder / "bundle", manifest, form=recipe.export.form)
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


def timed_pairs(context: Context) -> tuple[list[str], list[str]]:
    """Return queries and titles to time: titles of the log, each with every pair that it is in, as a night has them.

    Without a log, they are taken from the augmented pairs.
    """
    pairs = read_columns(context.folder("prepare") / "pairs.parquet")
    if not pairs["title"]:
        pairs = read_columns(context.folder("augment") / "pairs.parquet", ["query", "title"])
    rank = {title: number for number, title in enumerate(dict.fromkeys(pairs["title"]))}
    rows = sorted(range(len(pairs["title"])), key=lambda row: rank[pairs["title"][row]])
    del rows[context.recipe.sweep.timed_pairs :]
    return [pairs["query"][row] for row in rows], [pairs["title"][row] for row in rows]


def size_name(sizes: Sizes) -> str:
    """Return a short name of a student's sizes: embedding, LSTM, twin vector, vocabulary in thousands."""
    return f"{sizes.embedding}/{sizes.hidden}/{sizes.vector}, {sizes.vocabulary / 1000:g}k"
