"""The training loop of every network: seeded per step, with checkpoints and progress.

A step depends on its number alone: batches are planned from the seed, and torch's generator is seeded for each step.
A run that was killed and resumed from a checkpoint therefore gives the same weights as an uninterrupted one, on one
machine and with one number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distillation.errors import TrainingError
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import replace_file

_WARM_UP_SHARE = 0.05
_WEIGHT_DECAY = 0.01
_HISTORY_POINTS = 20


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of one run of the loop.

    Attributes
    ----------
    title
        Title of the progress.
    steps
        Number of optimiser steps.
    learning_rate
        Peak learning rate of AdamW: linear warm-up over a twentieth of the steps, then cosine decay to zero.
    seed
        Seed of dropout and other randomness within a step.
    checkpoint
        File of the checkpoint; None for no checkpoints.
    every_seconds
        Seconds between checkpoints.
    rates
        Learning rates of parameters by prefix of their name, where they differ from `learning_rate`.
    """

    title: str
    steps: int
    learning_rate: float
    seed: int
    checkpoint: Path | None = None
    every_seconds: float = 60.0
    rates: tuple[tuple[str, float], ...] = ()


def train(model: nn.Module, training: Training, loss_of: Callable[[int], Tensor], progress: Progress) -> list[float]:
    """Train `model` in place on `loss_of(step)` for every step; return the loss over time as twenty means."""
    optimiser = torch.optim.AdamW(_groups(model, training), weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _factor(training.steps))
    losses: list[float] = []
    if training.checkpoint is not None and training.checkpoint.exists():
        losses = _restore(training.checkpoint, model, optimiser, schedule)
        progress.say(f"{training.title}: resumed at step {len(losses):,} of {training.steps:,}")
    model.train()
    saved_at = time.monotonic()
    with progress.task(training.title, training.steps, start=len(losses)) as task:
        for step in range(len(losses), training.steps):
            torch.manual_seed(training.seed * 1_000_003 + step)
            loss = loss_of(step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            task.update(step + 1, loss=float(np.mean(losses[-50:])))
            if training.checkpoint is not None and time.monotonic() - saved_at >= training.every_seconds:
                _save(training.checkpoint, model, optimiser, schedule, losses)
                saved_at = time.monotonic()
    model.eval()
    return [float(np.mean(part)) for part in np.array_split(losses, min(_HISTORY_POINTS, len(losses))) if len(part)]


class BatchPlan:
    """The rows of each step: shuffled in every pass, reproducible by the seed.

    Parameters
    ----------
    passes
        Returns the batches of one pass, given a random generator.
    seed
        Seed of these generators.
    """

    def __init__(self, passes: Callable[[np.random.Generator], Iterable[Any]], seed: int) -> None:
        self._passes = passes
        self._seed = seed
        self._epoch = -1
        self._first = 0
        self._batches: list[Any] = []

    def __call__(self, step: int) -> Any:
        """Return the batch of a step; calls must be in ascending order of steps."""
        while step >= self._first + len(self._batches):
            self._first += len(self._batches)
            self._epoch += 1
            self._batches = list(self._passes(np.random.default_rng([self._seed, self._epoch])))
            if not self._batches:
                raise TrainingError("there is nothing to train on: the data have no rows")
        return self._batches[step - self._first]


def _groups(model: nn.Module, training: Training) -> list[dict[str, Any]]:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        rate = next((rate for prefix, rate in training.rates if name.startswith(prefix)), training.learning_rate)
        groups.setdefault(rate, []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]


def _factor(steps: int) -> Callable[[int], float]:
    warm = max(1, int(steps * _WARM_UP_SHARE))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return factor


def _save(path: Path, model: nn.Module, optimiser: Any, schedule: Any, losses: list[float]) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "losses": losses,
    }
    replace_file(path, lambda draft: torch.save(state, draft))


def _restore(path: Path, model: nn.Module, optimiser: Any, schedule: Any) -> list[float]:
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    losses: list[float] = state["losses"]
    return losses
