"""Recipe files: typed, strict, and written as they were read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from distillation.__main__ import main
from distillation.errors import RecipeError
from distillation.recipe.files import load_recipe, recipe_path, recipe_toml
from distillation.recipe.recipe import Recipe

JUDGED = '[data]\njudged = [{ format = "table", path = "j.tsv", labels = { a = 1, b = 0 } }]\n'
SHIPPED = ("smoke", "wands", "esci", "student")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_goes_by_its_name_and_survives_being_written(name: str) -> None:
    recipe = load_recipe(recipe_path(name))
    assert Recipe.model_validate(tomllib.loads(recipe_toml(recipe))) == recipe


def test_a_recipe_with_awkward_names_survives_being_written() -> None:
    data = {"judged": [{"format": "table", "path": 'a "b"\\c.tsv', "labels": {"not at all": 0.0, "ü": 1.0}}]}
    recipe = Recipe.model_validate({"data": data})
    assert Recipe.model_validate(tomllib.loads(recipe_toml(recipe))) == recipe


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (JUDGED + "[student.sizes]\nhiden = 3\n", "student.sizes.hiden: no such field"),
        (JUDGED + "[student.sizes]\nvocabulary = 8000\n", "common_words 8000 leaves fewer than 100"),
        (JUDGED + "[finetune]\ncross_encoders = 0\ntrees_weight = 0\n", "the teacher has no member"),
        ('[data]\njudged = [{ format = "xml" }]\n', "format"),
        (JUDGED.replace("labels", "gains = { c = 1 }, labels"), "gains has the label 'c'"),
        (JUDGED + "[student.sizes]\nmax_title_tokens = 600\n", "max_title_tokens: Input should be less than"),
        (f"seed = {1 << 31}\n" + JUDGED, "seed: Input should be less than"),
        ("seed = 3\n", "data: Field required"),
        ("seed = ", "not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_recipe_is_one_sentence(
    text: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=r"^recipe .*r\.toml: "):
        load_recipe(path)
    assert main(["run", str(path), "--work", str(tmp_path / "w")]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not (tmp_path / "w").exists()
