"""Base encoders: other families than BERT, float16 weights, and unsuitable ones, refused at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DistilBertConfig, DistilBertModel

from distillation.__main__ import main
from distillation.encoder.base_encoder import check_encoder, encoder_digest, load_encoder, load_tokenizer
from distillation.encoder.embeddings import SentenceEmbeddings
from distillation.errors import TeacherError
from distillation.pipeline.progress import Progress
from distillation.pipeline.workspace import Context
from distillation.recipe.recipe import Recipe
from distillation.steps.estimate import step_seconds
from distillation.teacher.cross_encoder import load_reader, pair_ids, predict, save_reader, write_teacher_bundle
from evaluation.bundle_logits import bundle_logits
from tests.support.small_shop import small_shop, write_encoder

LIMITS = {"max_query_tokens": 6, "max_title_tokens": 9}


def recipe_of(folder: Path, *, pretrain: int = 100, **limits: int) -> Recipe:
    judged = {"format": "table", "path": "j.tsv", "labels": {"a": 1.0, "b": 0.0}}
    encoder = {"name": str(folder), **LIMITS, **limits}
    return Recipe.model_validate({"data": {"judged": [judged]}, "encoder": encoder, "pretrain": {"rows": pretrain}})


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_encoder(small_shop(), tmp_path / "bert")


@pytest.fixture
def distilbert(bert: Path, tmp_path: Path) -> Path:
    """A family without segments, whose configuration names its sizes otherwise."""
    folder = tmp_path / "distilbert"
    config = DistilBertConfig(
        vocab_size=load_tokenizer(bert).get_vocab_size(),
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=96,
    )
    DistilBertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((bert / "tokenizer.json").read_bytes())
    return folder


def test_an_encoder_without_segments_teaches(distilbert: Path, tmp_path: Path) -> None:
    recipe = recipe_of(distilbert, pretrain=0)
    check_encoder(recipe)
    assert step_seconds("pretrain", Context(recipe, tmp_path, tmp_path)) == 0.0
    queries, titles = ["kestrel laptop", "lamp"], ["okapi fridge 42", "a very bright lamp for desks"]
    reader = load_reader(distilbert, 3)
    expected = predict(reader, pair_ids(load_tokenizer(distilbert), queries, titles, recipe.encoder))
    save_reader(reader, distilbert, tmp_path / "saved")
    bundle = write_teacher_bundle(tmp_path / "saved", tmp_path / "bundle", recipe.encoder, name="teacher")
    np.testing.assert_allclose(bundle_logits(bundle, queries, titles), expected, atol=2e-5)
    vectors = SentenceEmbeddings(str(distilbert), tmp_path / "vectors", Progress())
    assert vectors.width == 32
    np.testing.assert_allclose(np.linalg.norm(vectors.of(queries).astype(np.float32), axis=1), 1.0, atol=1e-3)


def test_float16_weights_are_trained_in_float32(bert: Path) -> None:
    weights = bert / "model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(halves, weights, metadata={"format": "pt"})
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    for kind in ("AutoModel", "AutoModelForMaskedLM"):
        assert {parameter.dtype for parameter in load_encoder(bert, kind).parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in load_reader(bert, 1).parameters()} == {torch.float32}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_every_file_of_an_encoder_is_in_its_digest_and_is_missed(file: str, bert: Path) -> None:
    before = encoder_digest(str(bert))
    whole = (bert / file).read_bytes()
    (bert / file).write_bytes(whole + b"\n")
    assert encoder_digest(str(bert)) != before
    (bert / file).unlink()
    with pytest.raises(TeacherError, match=rf"has no {file}"):
        check_encoder(recipe_of(bert))


@pytest.mark.parametrize(
    ("harm", "limits", "complaint"),
    [
        (
            lambda bert: None,
            {"max_query_tokens": 50, "max_title_tokens": 50},
            "reads at most 96 tokens, but .* up to 100",
        ),
        (lambda bert: (bert / "config.json").write_text("{"), {}, "cannot be loaded as a configuration"),
        (lambda bert: (bert / "config.json").write_text('{"model_type": "llm"}'), {}, "cannot be loaded as a config"),
        (lambda bert: (bert / "tokenizer.json").write_text("{"), {}, r"tokenizer\.json cannot be read"),
    ],
)
def test_an_unsuitable_encoder_is_refused_before_the_first_step(
    harm: Callable[[Path], object], limits: dict[str, int], complaint: str, bert: Path
) -> None:
    harm(bert)
    with pytest.raises(TeacherError, match=complaint):
        check_encoder(recipe_of(bert, **limits))


def test_an_encoder_without_a_known_masked_word_head_is_not_pretrained(distilbert: Path) -> None:
    with pytest.raises(TeacherError, match=r"no BERT-style masked-word head .*: set \[pretrain\] rows = 0"):
        check_encoder(recipe_of(distilbert))


def test_weights_that_cannot_be_read_are_one_sentence(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bert / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    rows = [f"{query}\t{query} {label}\t{label}" for query in ("lamp", "desk", "rug", "bed") for label in "ab"]
    (tmp_path / "j.tsv").write_text("\n".join(["query\ttitle\tlabel", *rows]))
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[data]\njudged = [{ format = "table", path = "j.tsv", labels = { a = 1, b = 0 } }]\n'
        f'[evaluation]\nfolds = 2\n[encoder]\nname = "{bert}"\n'
    )
    assert main(["run", str(recipe), "--work", str(tmp_path / "work")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"qtr distill: encoder {bert}: cannot be loaded as weights")
    assert said.count("\n") == 1
    assert not (tmp_path / "work").exists()
