"""Training of students: the stage that all folds share, and the stage with judgements."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distillation.data.folds import JudgedRows, Mask
from distillation.encoder.base_encoder import device
from distillation.encoder.embeddings import row_cosine
from distillation.pipeline.workspace import CHECKPOINT, Context, read_json, replace_file, write_json
from distillation.recipe.recipe import JudgedStage, SharedStage
from distillation.student.bilstm import BertBiLSTM, TrainingBatch
from distillation.student.text_table import Rows, TextTable, length_buckets
from distillation.training_loop import BatchPlan, Training, train

_EVAL_BATCH: Final = 512
_PARTS_BY_LENGTH: Final = 4
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SharedPairs:
    """Pairs of the shared stage, as rows of a `TextTable`.

    Attributes
    ----------
    query_rows, title_rows
        int64 [N].
    target
        Probability of relevance, float32 [N].
    cosine
        The frozen encoder's cosine, float32 [N].
    weight
        Weight of the row in the loss, float32 [N].
    """

    query_rows: Rows
    title_rows: Rows
    target: Floats
    cosine: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, slots=True)
class TargetRows:
    """Pairs with a target: a probability for judged rows, a teacher's logit for soft ones; float32 [N]."""

    query_rows: Rows
    title_rows: Rows
    target: Floats

    @staticmethod
    def of(table: TextTable, queries: Sequence[str], titles: Sequence[str], target: Floats) -> TargetRows:
        """Return the rows of these texts in `table`."""
        return TargetRows(table.rows(queries), table.rows(titles), np.asarray(target, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.target)


def shared_pairs(
    table: TextTable,
    vectors: npt.NDArray[np.float16],
    queries: Sequence[str],
    titles: Sequence[str],
    label: Floats,
    *,
    slope: float,
    centre: float,
    weak_weight: float,
) -> SharedPairs:
    """Return pairs with their targets: the weak `label` [N], or a probability from the cosine where it is NaN."""
    query_rows, title_rows = table.rows(queries), table.rows(titles)
    cosine = row_cosine(vectors, query_rows, title_rows)
    from_cosine = 1.0 / (1.0 + np.exp(-slope * (cosine - centre)))
    soft = np.isnan(label)
    target = np.where(soft, from_cosine, label).astype(np.float32)
    return SharedPairs(query_rows, title_rows, target, cosine, np.where(soft, 1.0, weak_weight).astype(np.float32))


def fit_shared(
    model: BertBiLSTM,
    table: TextTable,
    vectors: Floats,
    pairs: SharedPairs,
    recipe: SharedStage,
    *,
    context: Context,
    title: str,
    folder: Path,
    epochs: float | None = None,
) -> BertBiLSTM:
    """Train `model` on pairs without judgements, or load it from `folder` if an earlier run finished.

    The loss is the cross-entropy against the target, plus the squared error of the twin cosine, plus one minus the
    cosine between the student's twin vector and the encoder's embedding of each text; `vectors`, float32 [texts, D],
    are the latter, of length 1. Without pairs, `model` stays as it is.
    """
    if (folder / "history.json").exists():
        return load_student(model, folder)
    if not len(pairs):
        return _saved(model, [], folder)
    lengths = table.title_length[pairs.title_rows] + table.query_length[pairs.query_rows]
    plan = BatchPlan(lambda rng: length_buckets(lengths, recipe.batch, rng), context.recipe.seed)
    where = device()
    model.to(where)
    width = model.shape.vector

    def loss_of(step: int) -> Tensor:
        rows = plan(step)
        query_rows, title_rows = pairs.query_rows[rows], pairs.title_rows[rows]
        output = model(_on(table.batch(query_rows, title_rows), where))
        weight = _tensor(pairs.weight[rows] / np.float32(len(rows)), where)
        loss: Tensor = _cross_entropy(output.logit, _tensor(pairs.target[rows], where), weight)
        cosine = (output.query_vector * output.title_vector).sum(1) / width
        loss = loss + recipe.cosine_weight * (cosine - _tensor(pairs.cosine[rows], where)).square().mean()
        for mine, text_rows in ((output.query_vector, query_rows), (output.title_vector, title_rows)):
            likeness = (mine * _tensor(vectors[text_rows], where)).sum(1) / width**0.5
            loss = loss + recipe.vector_weight * (1.0 - likeness).mean()
        return loss

    steps = max(1, round(len(pairs) / recipe.batch * (epochs if epochs is not None else recipe.epochs)))
    training = Training(
        title, steps, recipe.learning_rate, context.recipe.seed, _state(folder), context.recipe.checkpoint_seconds
    )
    history = train(model, training, loss_of, context.progress)
    return _saved(model, history, folder)


def fit_judged(
    start: BertBiLSTM,
    table: TextTable,
    hard: TargetRows,
    soft: TargetRows,
    *,
    replay: SharedPairs | None,
    recipe: JudgedStage,
    context: Context,
    title: str,
    folder: Path,
) -> BertBiLSTM:
    """Return a copy of `start` trained on judgements and soft labels, or load it from `folder` if a run finished it.

    Each step mixes judged rows (cross-entropy against the label's probability), soft rows (cross-entropy between the
    teacher's and the student's logits, both divided by the temperature and the loss multiplied by its square, after
    Hinton et al., 2015), and replayed rows of the shared stage.
    """
    model = copy.deepcopy(start)
    if (folder / "history.json").exists():
        return load_student(model, folder)
    where = device()
    model.to(where)
    per_epoch = max(1, -(-len(hard) // recipe.batch))
    seed = context.recipe.seed
    passes = BatchPlan(lambda rng: np.array_split(rng.permutation(len(hard)), per_epoch), seed)

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng([seed, 4, step])
        drawn: list[tuple[TargetRows | SharedPairs, Rows, Floats, float, float]] = []
        rows = passes(step)
        drawn.append((hard, rows, hard.target[rows], recipe.hard_weight, 1.0))
        if len(soft) and recipe.soft:
            rows = rng.integers(0, len(soft), size=recipe.soft)
            target = 1.0 / (1.0 + np.exp(-soft.target[rows] / recipe.temperature))
            drawn.append((soft, rows, target.astype(np.float32), recipe.soft_weight, recipe.temperature))
        if replay is not None and len(replay) and recipe.replay:
            rows = rng.integers(0, len(replay), size=recipe.replay)
            drawn.append((replay, rows, replay.target[rows], recipe.replay_weight, 1.0))
        query_rows = np.concatenate([part.query_rows[rows] for part, rows, *_ in drawn])
        title_rows = np.concatenate([part.title_rows[rows] for part, rows, *_ in drawn])
        logits = _read_by_length(model, table, query_rows, title_rows, where)
        loss: Tensor = logits.new_zeros(())
        begin = 0
        for _, rows, target, source_weight, temperature in drawn:
            scaled = logits[begin : begin + len(rows)] / temperature
            begin += len(rows)
            # The loss of each source is a mean: its weight does not depend on the number of rows drawn.
            weight = torch.full_like(scaled, source_weight * temperature**2 / len(rows))
            loss = loss + _cross_entropy(scaled, _tensor(target, where), weight)
        return loss

    training = Training(
        title,
        per_epoch * recipe.epochs,
        recipe.learning_rate,
        seed,
        _state(folder),
        context.recipe.checkpoint_seconds,
    )
    history = train(model, training, loss_of, context.progress)
    return _saved(model, history, folder)


def judged_rows(table: TextTable, judged: JudgedRows, mask: Mask) -> TargetRows:
    """Return the judged rows in `mask`."""
    rows, queries, titles = judged.part(mask)
    return TargetRows.of(table, queries, titles, judged.target[rows])


def student_logits(model: BertBiLSTM, table: TextTable, query_rows: Rows, title_rows: Rows) -> Floats:
    """Return logits, float32 [N], in the order of the rows."""
    order = np.argsort(table.title_length[title_rows] + table.query_length[query_rows], kind="stable")
    logits = np.empty(len(order), dtype=np.float32)
    where = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(order), _EVAL_BATCH):
            rows = order[begin : begin + _EVAL_BATCH]
            logits[rows] = model(_on(table.batch(query_rows[rows], title_rows[rows]), where)).logit.cpu().numpy()
    return logits


def load_student(model: BertBiLSTM, folder: Path) -> BertBiLSTM:
    """Load the weights in `folder` into `model` and return it."""
    model.load_state_dict(load_file(folder / "student.safetensors"))
    return model.cpu().eval()


def losses(folder: Path) -> list[float]:
    """Return the loss over time of a fit."""
    history: list[float] = read_json(folder / "history.json")
    return history


def _read_by_length(
    model: BertBiLSTM, table: TextTable, query_rows: Rows, title_rows: Rows, where: torch.device
) -> Tensor:
    """Return logits [N] in the order of the rows, computed in parts of similar length to save padding."""
    order = np.argsort(table.title_length[title_rows], kind="stable")
    parts = np.array_split(order, min(_PARTS_BY_LENGTH, len(order)))
    logits = torch.cat([model(_on(table.batch(query_rows[part], title_rows[part]), where)).logit for part in parts])
    return logits[torch.from_numpy(np.argsort(order)).to(where)]


def _saved(model: BertBiLSTM, history: list[float], folder: Path) -> BertBiLSTM:
    model.cpu().eval()
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    replace_file(folder / "student.safetensors", lambda draft: save_file(weights, draft))
    write_json(folder / "history.json", history)
    return model


def _state(folder: Path) -> Path:
    return folder / CHECKPOINT


def _on(batch: TrainingBatch, where: torch.device) -> TrainingBatch:
    if where.type == "cpu":
        return batch
    return TrainingBatch(
        batch.query.to(where), batch.query_length.to(where), batch.title.to(where), batch.title_length.to(where)
    )


def _tensor(array: Floats, where: torch.device) -> Tensor:
    return torch.from_numpy(array).to(where)


def _cross_entropy(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy against soft targets, summed with weights."""
    return nn.functional.binary_cross_entropy_with_logits(logit, target, weight=weight, reduction="sum")
