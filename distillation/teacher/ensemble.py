"""The teacher: a weighted mean of the logits of its members, the cross-encoders and the trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.contrast_pairs import ContrastPair, made_pairs
from distillation.data.draws import some
from distillation.data.folds import JudgedRows, Mask
from distillation.data.leakage import QueryGuard
from distillation.data.synthetic_queries import crops
from distillation.data.title_swaps import swapped_pairs
from distillation.data.variant_pairs import variant_pairs
from distillation.encoder.base_encoder import encoder_folder, load_tokenizer
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import CHECKPOINT, Context, read_columns, read_json, write_json
from distillation.recipe.recipe import Trees
from distillation.teacher.cross_encoder import PairReader, fit, load_reader, pair_ids, predict, save_reader
from distillation.teacher.trees import PairFeatures, TreesMember
from evaluation.baselines import Bm25

Floats = npt.NDArray[np.float32]
HISTORY: Final = "history.json"
WARM: Final = "warm"
# The members, by their names in tables and reports.
CROSS_ENCODER: Final = "cross-encoder"
TREES: Final = "trees"
TEACHER: Final = "teacher"


def cross_encoder_seed(context: Context, number: int) -> int:
    """Return the seed of the cross-encoder of this number."""
    return context.recipe.seed + 1009 * number


def warm_up(context: Context, source: Path, folder: Path, number: int) -> Path:
    """Train a cross-encoder on unjudged pairs, starting from `source`; return its folder.

    Targets come from the frozen encoder's cosine (the recipe's `warm_cosine` of the pairs) or are weak labels. A folder
    that an earlier run finished is reused.
    """
    recipe = context.recipe.finetune
    if (folder / HISTORY).exists():
        return folder
    rng = np.random.default_rng([context.recipe.seed, 1])
    queries, titles, target = warm_pairs(context, recipe.warm.rows, rng)
    seed = cross_encoder_seed(context, number)
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


def fit_judged(context: Context, judged: JudgedRows, train: Mask, warm: Path, folder: Path, *, number: int) -> Path:
    """Train a warmed-up cross-encoder on the judged rows in `train`; return its folder."""
    if (folder / HISTORY).exists():
        return folder
    rows, queries, titles = judged.part(train)
    seed = cross_encoder_seed(context, number)
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
    """Return the features of the trees; document frequencies come from the titles that `prepare` wrote."""
    titles = read_columns(context.folder("prepare") / "titles.parquet")["title"]
    trees = context.recipe.finetune.trees
    exact = trees is not None and trees.word_signals
    reader = _warm_logit(context) if trees is not None and trees.warm_logit else None
    return PairFeatures(Bm25(titles), sentence_embeddings(context), exact, reader)


def _warm_logit(context: Context) -> Callable[[Sequence[str], Sequence[str]], Floats]:
    """Return a function that gives the mean logit of the warmed-up cross-encoders."""
    folder, recipe = context.folder("finetune"), context.recipe
    paths = [folder / f"{WARM}-{number}" for number in range(recipe.finetune.cross_encoders)]
    readers = [open_reader(path) for path in paths]
    tokenizer = load_tokenizer(paths[0])

    def logit(queries: Sequence[str], titles: Sequence[str]) -> Floats:
        ids = pair_ids(tokenizer, queries, titles, recipe.encoder)
        mean: Floats = np.mean([predict(reader, ids) for reader in readers], axis=0)
        return mean

    return logit


def sentence_embeddings(context: Context) -> SentenceEmbeddings:
    """Return the sentence embeddings of the frozen encoder."""
    return _embeddings(context.recipe.encoder.name, context.embeddings, context.progress)


@lru_cache(maxsize=1)
def _embeddings(name: str, root: Path, progress: Progress) -> SentenceEmbeddings:
    """Cache the last one: the embeddings of a large corpus take seconds to read."""
    return SentenceEmbeddings(name, root, progress)


def fit_trees(
    recipe: Trees,
    judged: JudgedRows,
    train: Mask,
    features: PairFeatures,
    contrast: Sequence[ContrastPair],
    *,
    seed: int,
) -> TreesMember:
    """Fit the trees on the judged rows in `train`, and on contrast pairs with the recipe's weight."""
    rows, queries, titles = judged.part(train)
    target = np.concatenate([judged.target[rows], [pair.target for pair in contrast]]).astype(np.float32)
    weight = np.ones(len(target), dtype=np.float32) if contrast else None
    if weight is not None:
        weight[len(rows) :] = recipe.contrast_weight
    queries += [pair.query for pair in contrast]
    titles += [pair.title for pair in contrast]
    return TreesMember(recipe, features, seed=seed).fit(queries, titles, target, weight)


def trees_contrast(context: Context) -> list[ContrastPair]:
    """Return the contrast pairs of the trees: of all kinds, not among the warm-up's, and let pass by the guard."""
    trees = context.recipe.finetune.trees
    if trees is None or not trees.contrast:
        return []
    prepared = context.folder("prepare")
    weak = read_columns(prepared / "weak.parquet", ["query", "title"])
    seen = set(zip(weak["query"], weak["title"], strict=True))
    rng, guard = np.random.default_rng([context.recipe.seed, 5]), evaluation_guard(context)
    # Some are seen or blocked: more are made than are needed.
    titles = read_columns(prepared / "titles.parquet")["title"]
    made = [make(trees.contrast, rng) for make in (made_pairs, variant_pairs, partial(swapped_pairs, titles))]
    pairs = [pair for kind in made for pair in kind if (pair.query, pair.title) not in seen]
    passing = [pair for pair in pairs if not guard.blocks(pair.query)]
    return some(rng, passing, trees.contrast)


def combine(context: Context, members: Mapping[str, Floats]) -> Floats:
    """Return the teacher's logits: the weighted mean of its members' logits, by their names."""
    recipe = context.recipe.finetune
    weights = {CROSS_ENCODER: recipe.cross_weight, TREES: recipe.trees_weight}
    total = sum(weights[name] for name in members)
    shares = [weights[name] / total * logits for name, logits in members.items()]
    combined: Floats = np.sum(shares, axis=0).astype(np.float32)
    return combined


def cosine_probability(context: Context, cosine: Floats) -> Floats:
    """Return the probability of relevance that the recipe derives from a cosine, float32 [N]."""
    recipe = context.recipe.pseudo_label
    exponent = -recipe.cosine_slope * (cosine - recipe.cosine_centre)
    probability: Floats = (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
    return probability


def warm_pairs(context: Context, count: int, rng: np.random.Generator) -> tuple[list[str], list[str], Floats]:
    """Draw the warm-up's pairs and targets; the guard of the measured queries lets all of them pass."""
    prepared = context.folder("prepare")
    guard = evaluation_guard(context)
    weak = read_columns(prepared / "weak.parquet")
    log = read_columns(prepared / "pairs.parquet")
    from_cosine = round(count * context.recipe.finetune.warm_cosine)
    kept = np.flatnonzero(guard.passing(weak["query"]))[: count - from_cosine]
    queries, titles = list(log["query"]), list(log["title"])
    if not queries:
        corpus = read_columns(prepared / "titles.parquet")["title"]
        queries, titles = crops(corpus, max(1, from_cosine // 2), 2, rng)
    passing = np.flatnonzero(guard.passing(queries))
    picked = rng.permutation(passing)[:from_cosine]
    soft_queries, soft_titles = [queries[row] for row in picked], [titles[row] for row in picked]
    soft = cosine_probability(context, sentence_embeddings(context).cosine(soft_queries, soft_titles))
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
