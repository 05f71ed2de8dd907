"""An estimate of a step's duration on this machine, from its row counts and a measured speed."""

from __future__ import annotations

from time import perf_counter
from typing import Final

import torch

from distillation.data.folds import folds_of, read_judged
from distillation.encoder.base_encoder import device, encoder_config, encoder_folder
from distillation.pipeline.workspace import Context, read_columns

# Share of the speed of a large matrix product that training and labelling reach, with small batches and attention.
_TRAINING_SHARE: Final = 0.35
_LABELLING_SHARE: Final = 0.45
_PAIR_TOKENS: Final = 28
_TITLE_TOKENS: Final = 18
_TEXT_TOKENS: Final = 14
_PROBE: Final = (512, 768, 1536)


def step_seconds(step: str, context: Context) -> float | None:
    """Return the estimated seconds of a step; None for a short step or one without an estimate."""
    recipe = context.recipe
    weights = _encoder_weights(recipe.encoder.name)
    if step == "pretrain":
        return _training(weights, recipe.pretrain.rows * _TITLE_TOKENS)
    if step not in {"finetune", "augment", "pseudo-label", "compare"}:
        return None
    fits = folds_of(read_judged(context))
    teacher = recipe.finetune
    if step == "finetune":
        rows = teacher.cross_encoders * (teacher.warm.rows + len(fits) * teacher.judged.rows)
        return _training(weights, rows * _PAIR_TOKENS)
    if step == "compare":
        tested = sum(bool(fold.test.any()) for fold in fits)
        rows = teacher.cross_encoders * (teacher.warm.rows + tested * teacher.judged.rows)
        return _training(weights, rows * _PAIR_TOKENS) if recipe.evaluation.off_the_shelf else None
    if step == "augment":
        titles = len(read_columns(context.folder("prepare") / "titles.parquet")["title"])
        return _reading(weights, titles * _TEXT_TOKENS) if recipe.augment.embedding else None
    rows = sum(recipe.pseudo_label.rows + int(fold.train.sum()) for fold in fits)
    return _reading(weights, teacher.cross_encoders * rows * _PAIR_TOKENS)


def _training(weights: float, tokens: float) -> float:
    """Return seconds of training: per weight and token two operations forward, four backward."""
    return 6.0 * weights * tokens / (_TRAINING_SHARE * _speed())


def _reading(weights: float, tokens: float) -> float:
    return 2.0 * weights * tokens / (_LABELLING_SHARE * _speed())


def _encoder_weights(name: str) -> float:
    """Return the number of weights that every token is multiplied with: those of the layers, not of the vocabulary."""
    config = encoder_config(encoder_folder(name))
    width = config.hidden_size
    # DistilBERT's name for it is hidden_dim.
    inner = getattr(config, "intermediate_size", None) or getattr(config, "hidden_dim", 4 * width)
    return float(config.num_hidden_layers * (4 * width**2 + 2 * width * inner))


def _speed() -> float:
    """Return operations per second of a matrix product of the encoder's sizes, on the training device."""
    rows, inner, columns = _PROBE
    left, right = torch.ones(rows, inner, device=device()), torch.ones(inner, columns, device=device())
    (left @ right).sum().item()
    times = []
    for _ in range(5):
        started = perf_counter()
        (left @ right).sum().item()
        times.append(perf_counter() - started)
    return 2.0 * rows * inner * columns / min(times)
