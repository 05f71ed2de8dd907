"""A teacher's bundle labels only if it says what the cross-encoder says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillation.data.folds import JudgedRows
from distillation.errors import ParityError
from distillation.recipe.recipe import Encoder
from distillation.steps import pseudo_label
from distillation.steps.pseudo_label import teacher_bundle
from distillation.teacher.cross_encoder import load_reader, save_reader
from tests.support.small_shop import small_shop, write_encoder


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    source = write_encoder(small_shop(), tmp_path / "encoder")
    save_reader(load_reader(source, 3), source, tmp_path / "teacher")
    return tmp_path / "teacher"


@pytest.fixture
def judged() -> JudgedRows:
    queries, titles = ["kestrel laptop", "lamp"], ["okapi fridge 42", "a bright lamp"]
    ones, none = np.ones(2, dtype=np.float32), np.zeros(2, dtype=np.int64)
    return JudgedRows(queries, titles, ones, ones, none, none)


def test_a_bundle_that_says_otherwise_is_refused_each_time(
    teacher: Path, judged: JudgedRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = Encoder(), tmp_path / "bundle"
    with monkeypatch.context() as patch:
        # The graph of another network, as a wrong export would be.
        patch.setattr(pseudo_label, "predict", lambda *_: np.array([0.0, 1.0], dtype=np.float32))
        for _ in range(2):
            with pytest.raises(ParityError, match="graphs of teacher are"):
                teacher_bundle(recipe, teacher, folder, "teacher", judged)
    assert not folder.exists()
    assert teacher_bundle(recipe, teacher, folder, "teacher", judged) == folder
    assert (folder / "bundle.json").is_file()
