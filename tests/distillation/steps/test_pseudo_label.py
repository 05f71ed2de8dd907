"""A teacher's bundle labels only if its logits are the cross-encoder's; origins are drawn evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.data.folds import JudgedRows
from distillation.errors import ParityError
from distillation.recipe.recipe import Encoder
from distillation.steps import pseudo_label
from distillation.steps.pseudo_label import balanced, teacher_bundle
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


def test_a_bundle_with_other_logits_is_refused_each_time(
    teacher: Path, judged: JudgedRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, folder = Encoder(), tmp_path / "bundle"
    with monkeypatch.context() as patch:
        # The graph of another network, as a wrong export would be.
        patch.setattr(pseudo_label, "predict", lambda *_: np.array([0.0, 1.0], dtype=np.float32))
        for _ in range(2):
            with pytest.raises(ParityError, match="graphs of teacher differ"):
                teacher_bundle(recipe, teacher, folder, "teacher", judged)
    assert not folder.exists()
    assert teacher_bundle(recipe, teacher, folder, "teacher", judged) == folder
    assert (folder / "bundle.json").is_file()


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(0, 40), st.integers(0, 1000))
def test_kinds_are_drawn_evenly_as_far_as_they_last(origins: list[str], count: int, seed: int) -> None:
    rows = balanced(origins, np.arange(len(origins)), count, np.random.default_rng(seed))
    assert len(set(rows.tolist())) == len(rows) == min(count, len(origins))
    drawn = Counter(origins[row] for row in rows)
    for kind, there in Counter(origins).items():
        if drawn[kind] < there:
            assert drawn[kind] >= max(drawn.values(), default=0) - 1
