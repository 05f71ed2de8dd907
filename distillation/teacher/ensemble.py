"""The teacher: a weighted mean of views' logits. Fitting one for a set of rows, and asking it about any pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.folds import JudgedRows, Mask
from distillation.data.leakage import QueryGuard
from distillation.data.lexical_features import Bm25
from distillation.data.synthetic_queries import crops
from distillation.encoder.base_encoder import encoder_folder, load_tokenizer
from distillation.encoder.embeddings import Vectors
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import CHECKPOINT, Context, read_columns, read_json, write_json
from distillation.recipe.recipe import Trees
from distillation.teacher.cross_encoder import PairReader, fit, load_reader, pair_ids, save_reader
from distillation.teacher.trees import PairFeatures, TreesView

Floats = npt.NDArray[np.float32]
HISTORY: Final = "history.json"
# The views, by the names that tables and reports give them.
CROSS_ENCODER: Final = "cross-encoder"
TREES: Final = "trees"
TEACHER: Final = "teacher"


def member_seed(context: Context, member: int) -> int:
    """Return the seed of a cross-encoder of the ensemble."""
    return context.recipe.seed + 1009 * member


def warm_up(context: Context, source: Path, folder: Path, member: int) -> Path:
    """Train a cross-encoder on pairs that nobody judged, starting from `source`; return its folder.

    The recipe says which share of the targets is what the frozen encoder's cosine makes of a pair; the other pairs are
    weakly labelled. A folder that is there already was finished by an earlier run.
    """
    recipe = context.recipe.finetune
    if (folder / HISTORY).exists():
        return folder
    rng = np.random.default_rng([context.recipe.seed, 1])
    queries, titles, target = warm_pairs(context, recipe.warm.rows, rng)
    seed = member_seed(context, member)
    reader = load_reader(source, seed)
    history: list[float] = []
    if recipe.warm.rows and queries:
        history = fit(
            reader,
            pair_ids(load_tokenizer(source), queries, titles, context.recipe.encoder),
            target,
            recipe.warm,
            context.progress,
            title=f"{folder.parent.name} {folder.name}",
            seed=seed,
            checkpoint=folder.with_name(folder.name + ".state") / CHECKPOINT,
            every_seconds=context.recipe.checkpoint_seconds,
        )
    save_reader(reader, source, folder)
    write_json(folder / HISTORY, history)
    return folder


def fit_judged(context: Context, judged: JudgedRows, train: Mask, warm: Path, folder: Path, *, member: int) -> Path:
    """Train a warmed-up cross-encoder on the judged rows in `train`; return its folder."""
    if (folder / HISTORY).exists():
        return folder
    rows, queries, titles = judged.part(train)
    seed = member_seed(context, member)
    reader = load_reader(warm, seed)
    history = fit(
        reader,
        pair_ids(load_tokenizer(warm), queries, titles, context.recipe.encoder),
        judged.target[rows],
        context.recipe.finetune.judged,
        context.progress,
        title=f"{folder.parent.name} {folder.name}",
        seed=seed,
        checkpoint=folder.with_name(folder.name + ".state") / CHECKPOINT,
        every_seconds=context.recipe.checkpoint_seconds,
    )
    save_reader(reader, warm, folder)
    write_json(folder / HISTORY, history)
    return folder


def read_history(folder: Path) -> list[float]:
    """Return the loss over time of a fit."""
    history: list[float] = read_json(folder / HISTORY)
    return history


def open_reader(folder: Path) -> PairReader:
    """Load a trained cross-encoder."""
    return load_reader(folder, 0).eval()


def pair_features(context: Context) -> PairFeatures:
    """Return what the trees read; word weights come from the titles that `prepare` wrote."""
    titles = read_columns(context.folder("prepare") / "titles.parquet")["title"]
    return PairFeatures(Bm25(titles), frozen_vectors(context))


def frozen_vectors(context: Context) -> Vectors:
    """Return the frozen encoder's vectors."""
    return _vectors(context.recipe.encoder.name, context.vectors, context.progress)


@lru_cache(maxsize=1)
def _vectors(name: str, root: Path, progress: Progress) -> Vectors:
    """Keep the last one: a large corpus takes seconds to read."""
    return Vectors(name, root, progress)


def fit_trees(recipe: Trees, judged: JudgedRows, train: Mask, features: PairFeatures, *, seed: int) -> TreesView:
    """Fit the trees on the judged rows in `train`."""
    rows, queries, titles = judged.part(train)
    return TreesView(recipe, features, seed=seed).fit(queries, titles, judged.target[rows])


def combine(context: Context, views: Mapping[str, Floats]) -> Floats:
    """Return the teacher's logits: the weighted mean of its views', which go by their names."""
    recipe = context.recipe.finetune
    weights = {CROSS_ENCODER: recipe.cross_weight, TREES: recipe.trees_weight}
    total = sum(weights[name] for name in views)
    mixed: Floats = np.sum([weights[name] / total * view for name, view in views.items()], axis=0).astype(np.float32)
    return mixed


def cosine_opinion(context: Context, cosine: Floats) -> Floats:
    """Return what the frozen encoder's cosine makes of relevance: a probability, float32 [N]."""
    recipe = context.recipe.pseudo_label
    opinion: Floats = (1.0 / (1.0 + np.exp(-recipe.cosine_slope * (cosine - recipe.cosine_centre)))).astype(np.float32)
    return opinion


def warm_pairs(context: Context, count: int, rng: np.random.Generator) -> tuple[list[str], list[str], Floats]:
    """Draw the warm-up's pairs and targets; none has a query akin to a measured one."""
    prepared = context.folder("prepare")
    guard = evaluation_guard(context)
    weak = read_columns(prepared / "weak.parquet")
    night = read_columns(prepared / "pairs.parquet")
    from_cosine = round(count * context.recipe.finetune.warm_cosine)
    kept = np.flatnonzero(guard.passing(weak["query"]))[: count - from_cosine]
    queries, titles = list(night["query"]), list(night["title"])
    if not queries:
        corpus = read_columns(prepared / "titles.parquet")["title"]
        queries, titles = crops(corpus, max(1, from_cosine // 2), 2, rng)
    passing = np.flatnonzero(guard.passing(queries))
    picked = rng.permutation(passing)[:from_cosine]
    soft_queries, soft_titles = [queries[row] for row in picked], [titles[row] for row in picked]
    soft = cosine_opinion(context, frozen_vectors(context).cosine(soft_queries, soft_titles))
    return (
        [*(weak["query"][row] for row in kept), *soft_queries],
        [*(weak["title"][row] for row in kept), *soft_titles],
        np.concatenate([weak["target"][kept], soft]).astype(np.float32),
    )


def evaluation_guard(context: Context, evaluated: Sequence[str] | None = None) -> QueryGuard:
    """Return the guard of the measured queries, or of `evaluated`."""
    if evaluated is None:
        columns = read_columns(context.folder("prepare") / "judged.parquet", ["query", "fold"])
        evaluated = [q for q, fold in zip(columns["query"], columns["fold"], strict=True) if fold >= 0]
    return QueryGuard(evaluated, context.recipe.evaluation.guard)


def base_encoder(context: Context) -> Path:
    """Return the folder of the encoder as it is before pretraining."""
    return encoder_folder(context.recipe.encoder.name)
