"""Progress: plain lines where there is no terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipe_folder import RecipeFolder


def test_without_a_terminal_progress_is_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert RecipeFolder(tmp_path).run("prepare") == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("judged pairs of 24 queries" in line for line in lines)
    assert all(line.isprintable() for line in lines)
