"""The two training stages: soft targets for all (shared), then human grades with replay (fine-tuning)."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from distillation.model import BertBiLSTM
from distillation.recipe import Finetune, Shared
from distillation.texts import Rows, TextTable, length_buckets

_LOG = logging.getLogger(__name__)
_EVAL_BATCH = 512


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """Pairs as rows of a :class:`TextTable`, with what the student shall say of them.

    Attributes
    ----------
    query_rows, title_rows
        int64 [N].
    target
        Probability of relevance, float32 [N].
    cosine
        The teacher's cosine, float32 [N].
    weight
        Worth of the row in the loss, float32 [N].
    """

    query_rows: Rows
    title_rows: Rows
    target: npt.NDArray[np.float32]
    cosine: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HardRows:
    """Judged pairs as rows of a :class:`TextTable`, with the probability that stands for their grade, float32 [N]."""

    query_rows: Rows
    title_rows: Rows
    target: npt.NDArray[np.float32]


def train_shared(
    model: BertBiLSTM,
    table: TextTable,
    vectors: npt.NDArray[np.float32],
    pairs: SoftTargets,
    recipe: Shared,
    *,
    seed: int,
) -> None:
    """Teach ``model`` the teacher's opinion, in place.

    The loss is cross-entropy against the soft target, plus the squared error of the twin cosine, plus one minus the
    cosine between the student's and the teacher's vector of each text; ``vectors`` float32 [texts, D] holds the
    latter, of length 1.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    lengths = table.title_length[pairs.title_rows] + table.query_length[pairs.query_rows]
    steps = max(1, math.ceil(len(lengths) / recipe.batch * recipe.epochs))
    optimiser, schedule = _optimiser(model, recipe.learning_rate, steps)
    model.train()
    step, started, shown = 0, time.monotonic(), 0.0
    while step < steps:
        for rows in length_buckets(lengths, recipe.batch, rng)[: steps - step]:
            query_rows, title_rows = pairs.query_rows[rows], pairs.title_rows[rows]
            output = model(table.batch(query_rows, title_rows))
            weight = torch.from_numpy(pairs.weight[rows] / np.float32(len(rows)))
            loss = _soft_loss(output.logit, torch.from_numpy(pairs.target[rows]), weight)
            width = model.shape.vector
            cosine = (output.query_vector * output.title_vector).sum(1) / width
            loss = loss + recipe.cosine_weight * (cosine - torch.from_numpy(pairs.cosine[rows])).square().mean()
            for mine, text_rows in ((output.query_vector, query_rows), (output.title_vector, title_rows)):
                likeness = (mine * torch.from_numpy(vectors[text_rows])).sum(1) / width**0.5
                loss = loss + recipe.vector_weight * (1.0 - likeness).mean()
            _step(model, loss, optimiser, schedule)
            step += 1
            shown += loss.item()
            if step % 250 == 0:
                seconds = time.monotonic() - started
                _LOG.info("shared: step %d of %d, loss %.4f, %.0f s", step, steps, shown / 250, seconds)
                shown = 0.0
    model.eval()


def finetune(
    start: BertBiLSTM,
    table: TextTable,
    judged: HardRows,
    replay: SoftTargets,
    recipe: Finetune,
    *,
    seed: int,
) -> BertBiLSTM:
    """Return a copy of ``start``, fine-tuned on ``judged`` rows with soft targets replayed beside them."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = copy.deepcopy(start)
    per_epoch = math.ceil(len(judged.target) / recipe.batch)
    optimiser, schedule = _optimiser(model, recipe.learning_rate, per_epoch * recipe.epochs)
    model.train()
    for _ in range(recipe.epochs):
        order = rng.permutation(len(judged.target))
        for rows in np.array_split(order, per_epoch):
            query_rows, title_rows, target = judged.query_rows[rows], judged.title_rows[rows], judged.target[rows]
            weight = np.full(len(rows), 1.0 / len(rows), dtype=np.float32)
            if recipe.replay and len(replay.target):
                extra = rng.integers(0, len(replay.target), size=recipe.replay)
                query_rows = np.concatenate([query_rows, replay.query_rows[extra]])
                title_rows = np.concatenate([title_rows, replay.title_rows[extra]])
                target = np.concatenate([target, replay.target[extra]])
                # Each source is a mean of its own: its worth does not depend on how many rows are replayed.
                share = np.float32(recipe.replay_weight / recipe.replay)
                weight = np.concatenate([weight, share * replay.weight[extra]])
            output = model(table.batch(query_rows, title_rows))
            loss = _soft_loss(output.logit, torch.from_numpy(target), torch.from_numpy(weight))
            _step(model, loss, optimiser, schedule)
    return model.eval()


def predict(model: BertBiLSTM, table: TextTable, query_rows: Rows, title_rows: Rows) -> npt.NDArray[np.float32]:
    """Return logits, float32 [N], in the order of the rows."""
    lengths = table.title_length[title_rows] + table.query_length[query_rows]
    order = np.argsort(lengths, kind="stable")
    logits = np.empty(len(order), dtype=np.float32)
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(order), _EVAL_BATCH):
            rows = order[begin : begin + _EVAL_BATCH]
            logits[rows] = model(table.batch(query_rows[rows], title_rows[rows])).logit.numpy()
    return logits


def _soft_loss(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy against soft targets, summed with weights."""
    return nn.functional.binary_cross_entropy_with_logits(logit, target, weight=weight, reduction="sum")


def _optimiser(
    model: BertBiLSTM, rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Build AdamW with a linear warm-up over a twentieth of the steps, then a cosine down to zero."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    warm = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _step(
    model: BertBiLSTM,
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule.step()
