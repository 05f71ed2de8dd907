"""The training loop: a fit that was killed ends with the weights of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distillation.__main__ import main
from distillation.errors import TrainingError
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import CHECKPOINT
from distillation.training_loop import BatchPlan, Training, train
from tests.support.learning import learnt
from tests.support.recipe_folder import RecipeFolder

ROOT = Path(__file__).resolve().parents[2]


def noisy_fit(checkpoint: Path | None, *, stop_at: int | None = None) -> tuple[nn.Module, list[float]]:
    """Fit a line, with dropout; end by an exception at a step if asked."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    data = torch.from_numpy(np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32))
    plan = BatchPlan(lambda rng: np.array_split(rng.permutation(64), 8), seed=3)

    def loss_of(step: int) -> torch.Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        rows = data[plan(step)]
        loss: torch.Tensor = (model(rows).squeeze(1) - rows.sum(1)).square().mean()
        return loss

    training = Training("fit", steps=40, learning_rate=0.05, seed=3, checkpoint=checkpoint, every_seconds=0.0)
    return model, train(model, training, loss_of, Progress())


@pytest.mark.parametrize("stop_at", [1, 17, 39])
def test_an_interrupted_fit_ends_with_the_very_same_weights(tmp_path: Path, stop_at: int) -> None:
    whole, history = noisy_fit(None)
    with pytest.raises(KeyboardInterrupt):
        noisy_fit(tmp_path / CHECKPOINT, stop_at=stop_at)
    resumed, again = noisy_fit(tmp_path / CHECKPOINT)
    assert again == history
    assert learnt(history)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_every_pass_reads_every_row_once_in_another_order() -> None:
    plan = BatchPlan(lambda rng: np.array_split(rng.permutation(10), 3), seed=1)
    passes = [np.concatenate([plan(3 * epoch + i) for i in range(3)]).tolist() for epoch in range(3)]
    assert all(sorted(rows) == list(range(10)) for rows in passes)
    assert len({tuple(rows) for rows in passes}) == 3


def test_a_pass_without_rows_is_an_error() -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        BatchPlan(lambda _: [], seed=1)(0)


def test_a_killed_step_goes_on_from_its_checkpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Kill -9 in the middle of pretraining; the encoder must come out as if nothing had happened."""
    shop = RecipeFolder(tmp_path)
    shop.recipe.write_text("checkpoint_seconds = 0\n" + shop.text.replace("rows = 320", "rows = 3200"))
    assert shop.run("prepare") == 0
    command = [sys.executable, "-m", "distillation", "pretrain", str(shop.recipe), "--work", str(shop.work)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    checkpoint = shop.work / "pretrain" / CHECKPOINT
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    capfd.readouterr()
    assert shop.run("pretrain") == 0
    said = capfd.readouterr().err
    assert "resumes after an interruption" in said
    assert "pretrain: resumed at step " in said
    assert not checkpoint.exists()
    killed = (shop.work / "pretrain" / "encoder" / "model.safetensors").read_bytes()
    assert main(["prepare", str(shop.recipe), "--work", str(tmp_path / "other")]) == 0
    assert main(["pretrain", str(shop.recipe), "--work", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "pretrain" / "encoder" / "model.safetensors").read_bytes() == killed
