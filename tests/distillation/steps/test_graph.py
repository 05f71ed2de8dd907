"""Steps: skipped if nothing changed, run again if something did, refused out of order."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillation.pipeline.fingerprint import code_digest
from distillation.pipeline.workspace import read_record
from distillation.steps import graph
from tests.support.recipe_folder import RecipeFolder


@pytest.fixture
def shop(tmp_path: Path) -> RecipeFolder:
    return RecipeFolder(tmp_path)


def test_a_finished_step_is_skipped_until_its_part_of_the_recipe_changes(
    shop: RecipeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("prepare", "pretrain", "augment"):
        assert shop.run(step) == 0
    stamps = {step: shop.stamp(step) for step in ("prepare", "pretrain", "augment")}
    capsys.readouterr()
    shop.recipe.write_text(shop.text.replace("crops = 800", "crops = 400"))
    for step in stamps:
        assert shop.run(step) == 0
    assert {step for step, stamp in stamps.items() if shop.stamp(step) != stamp} == {"augment"}
    assert "augment: changed since the last run: recipe" in capsys.readouterr().err


def test_new_data_runs_everything_again_that_read_it(shop: RecipeFolder) -> None:
    for step in ("prepare", "augment"):
        assert shop.run(step) == 0
    before = read_record(shop.work / "augment")
    with (shop.root / "product.csv").open("a") as file:
        file.write("9999\tkestrel lamp bright 77\tlamp\ta\tb\tc\t\t\t\n")
    assert shop.run("prepare") == 0
    assert shop.run("augment") == 0
    after = read_record(shop.work / "augment")
    assert before is not None
    assert after is not None
    assert {name for name in after.inputs if before.inputs[name] != after.inputs[name]} == {"files of prepare"}
    assert before.files != after.files


def test_a_file_that_was_altered_is_made_again(shop: RecipeFolder) -> None:
    assert shop.run("prepare") == 0
    path = shop.work / "prepare" / "titles.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert shop.run("prepare") == 0
    assert path.read_bytes() == good


def test_a_step_out_of_order_is_one_sentence(shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("pretrain") == 1
    assert capsys.readouterr().err == ("qtr distill: prepare has not finished: run it first, or qtr distill run\n")


def test_a_step_does_not_build_on_what_another_recipe_made(
    shop: RecipeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("prepare", "pretrain"):
        assert shop.run(step) == 0
    shop.recipe.write_text("seed = 5\n" + shop.text)
    assert shop.run("pretrain") == 1
    assert "pretrain depends on prepare, which is out of date (recipe): run it again" in capsys.readouterr().err
    shop.recipe.write_text(shop.text)
    (shop.work / "prepare" / "titles.parquet").write_bytes(b"")
    assert shop.run("pretrain") == 1
    assert "pretrain depends on prepare, which is out of date (its files)" in capsys.readouterr().err


def test_a_step_uses_what_another_version_of_the_code_made(
    shop: RecipeFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.run("prepare") == 0
    monkeypatch.setattr(graph, "code_digest", lambda module: f"{code_digest(module)} of tomorrow")
    capsys.readouterr()
    assert shop.run("augment") == 0
    assert "augment: another version of the code made prepare\n" in capsys.readouterr().err


def test_a_step_goes_on_from_a_work_folder_alone(shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("prepare") == 0
    (shop.root / "label.csv").rename(shop.root / "elsewhere.csv")
    capsys.readouterr()
    assert shop.run("augment") == 0
    said = capsys.readouterr().err
    assert "prepare: its source files are missing and assumed unchanged" in said
    assert "label.csv: no such file" in said
    assert shop.run("prepare") == 1
