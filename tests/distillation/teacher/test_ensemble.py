"""The teacher's weights, and the probability that stands for a cosine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distillation.data.lexical_features import OVERLAP_FEATURES
from distillation.data.word_signals import WORD_SIGNALS
from distillation.encoder.base_encoder import load_tokenizer
from distillation.pipeline.workspace import Context, read_columns
from distillation.recipe.recipe import Recipe
from distillation.steps.prepare import run as prepare
from distillation.teacher.cross_encoder import load_reader, pair_ids, predict, save_reader
from distillation.teacher.ensemble import (
    CROSS_ENCODER,
    TREES,
    combine,
    cosine_probability,
    open_reader,
    pair_features,
    trees_contrast,
)
from tests.support.prepared_data import TABLE, judged_table
from tests.support.small_shop import small_shop, write_encoder


@pytest.fixture
def context(tmp_path: Path) -> Context:
    judged = {"format": "table", "path": "j.tsv", "labels": {"a": 1.0, "b": 0.0}}
    settings = {"cross_weight": 3.0, "trees_weight": 1.0}
    return Context(Recipe.model_validate({"data": {"judged": [judged]}, "finetune": settings}), tmp_path, tmp_path)


def test_the_teacher_is_the_weighted_mean_of_the_members_that_it_has(context: Context) -> None:
    cross, trees = np.array([1.0, np.nan], dtype=np.float32), np.array([-1.0, 2.0], dtype=np.float32)
    np.testing.assert_allclose(combine(context, {CROSS_ENCODER: cross, TREES: trees}), [0.5, np.nan])
    np.testing.assert_allclose(combine(context, {TREES: trees}), trees)


def test_a_cosine_at_the_centre_is_even_odds(context: Context) -> None:
    centre = context.recipe.pseudo_label.cosine_centre
    low, even, high = cosine_probability(context, np.array([centre - 0.3, centre, centre + 0.3], dtype=np.float32))
    assert even == pytest.approx(0.5)
    assert low < 0.1
    assert high > 0.9


def test_the_contrast_pairs_of_the_trees_are_new_and_pass_the_guard(tmp_path: Path) -> None:
    """The warm-up has learnt the other contrast pairs by heart: its logit of them would mislead the trees."""
    context = contrast_context(tmp_path, {})
    weak = read_columns(context.folder("prepare") / "weak.parquet")
    seen = set(zip(weak["query"], weak["title"], strict=True))
    pairs = trees_contrast(context)
    assert len(pairs) == 200
    assert not seen & {(pair.query, pair.title) for pair in pairs}
    assert not {"sofa", "sofas", "lamp"} & {pair.query for pair in pairs}
    assert len({pair.kind for pair in pairs}) > 10


def test_the_trees_read_the_logit_of_the_warmed_up_cross_encoder(tmp_path: Path) -> None:
    encoder = write_encoder(small_shop(), tmp_path / "encoder")
    context = contrast_context(tmp_path, {"encoder": {"name": str(encoder)}})
    warm = context.folder("finetune") / "warm-0"
    save_reader(load_reader(encoder, 1), encoder, warm)
    queries, titles = ["laptop", "kestrel shoes"], ["kestrel laptop", "okapi camera dslr"]
    expected = predict(open_reader(warm), pair_ids(load_tokenizer(warm), queries, titles, context.recipe.encoder))
    with_logit, _ = pair_features(context).of(queries, titles)
    np.testing.assert_allclose(with_logit[:, -1], expected, rtol=1e-5)
    assert with_logit.shape == (2, OVERLAP_FEATURES + WORD_SIGNALS + 1)


def contrast_context(root: Path, more: dict[str, object]) -> Context:
    rows = [(kind, f"{kind} {label}", label) for kind in ("sofa", "lamp", "rug", "tent") for label in ("good", "bad")]
    (root / "j.tsv").write_text(judged_table(rows))
    data = {"judged": [TABLE], "contrast": {"made": 300, "variants": 100}}
    trees = {"contrast": 200, "warm_logit": True, "word_signals": True}
    settings = {"data": data, "evaluation": {"folds": 2}, "finetune": {"trees": trees}, **more}
    context = Context(Recipe.model_validate(settings), root / "work", root)
    prepare(context)
    return context
