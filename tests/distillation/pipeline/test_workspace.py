"""The work folder: locked, never mixed with other files, and without half-written results."""

from __future__ import annotations

from pathlib import Path

import pytest

from distillation.pipeline.workspace import begin, finish, locked
from tests.support.recipe_folder import RecipeFolder


@pytest.fixture
def shop(tmp_path: Path) -> RecipeFolder:
    return RecipeFolder(tmp_path)


def test_a_work_folder_that_cannot_be_written_is_one_sentence(
    shop: RecipeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.work.write_text("in the way")
    assert shop.run("prepare") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"qtr distill: work folder {shop.work}: cannot be written")


def test_a_work_folder_with_files_of_others_is_refused(shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    own = shop.work / "prepare" / "thesis.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert shop.run("prepare") == 1
    assert "has files that no step wrote; name another work folder" in capsys.readouterr().err
    assert own.read_text() == "mine"


def test_a_folder_that_a_file_browser_wrote_to_stands(shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("prepare") == 0
    (shop.work / "prepare" / ".DS_Store").write_text("x")
    capsys.readouterr()
    assert shop.run("prepare") == 0
    assert "prepare: finished earlier" in capsys.readouterr().err


def test_two_at_a_time_do_not_share_a_work_folder(shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(shop.work):
        assert shop.run("prepare") == 1
    assert capsys.readouterr().err.endswith(": in use by another qtr distill; wait until it ends, or end it\n")
    assert shop.run("prepare") == 0


def test_what_a_kill_left_half_written_is_no_result(tmp_path: Path) -> None:
    folder = tmp_path / "step"
    assert not begin(folder, "step", {"recipe": "1"})
    (folder / "fold" / ".draft-x").mkdir(parents=True)
    for name in ("result", ".result.draft", "fold/.draft-x/graph", "fold/.y.draft", "fold/checkpoint.pt"):
        (folder / name).write_text("x")
    assert begin(folder, "step", {"recipe": "1"})
    assert list(finish(folder, "step", {"recipe": "1"}, 0.0).files) == ["result"]
