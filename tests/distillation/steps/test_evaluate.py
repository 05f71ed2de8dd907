"""The table of capabilities of a recipe: judged before the first step, and a source of `evaluate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillation.pipeline.workspace import Context
from distillation.recipe.files import load_recipe
from distillation.steps.evaluate import sources
from tests.support.recipe_folder import RecipeFolder


@pytest.fixture
def shop(tmp_path: Path) -> RecipeFolder:
    folder = RecipeFolder(tmp_path)
    folder.recipe.write_text(folder.text.replace("[evaluation]", '[evaluation]\ncapabilities = "mine.tsv"'))
    return folder


@pytest.mark.parametrize("step", ["run", "evaluate"])
def test_a_mistake_in_it_ends_the_run_before_the_first_step(
    step: str, shop: RecipeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    table = shop.root / "mine.tsv"
    assert shop.run(step) == 1
    assert capsys.readouterr().err == f"qtr distill: {table}: cannot be read (No such file or directory)\n"
    table.write_text("capability\tquery\tbetter\tworse\nsize\tshoes 42\t\tShoes, size 38\n")
    assert shop.run(step) == 1
    assert capsys.readouterr().err == f"qtr distill: {table}: line 2: column better is empty; expected a title\n"
    assert not shop.work.exists()


def test_another_table_is_another_input(shop: RecipeFolder) -> None:
    context = Context(load_recipe(shop.recipe), shop.work, shop.root)
    table = shop.root / "mine.tsv"
    table.write_text("capability\tquery\tbetter\tworse\nsize\tshoes 42\tShoes, size 42\tShoes, size 38\n")
    before = sources(context)
    table.write_text(table.read_text().replace("size 38", "size 39"))
    assert sources(context) != before
