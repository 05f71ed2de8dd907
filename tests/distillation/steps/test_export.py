"""`--out`: the bundle replaces a bundle, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distillation.__main__ import main
from tests.support.recipe_folder import RecipeFolder


@pytest.fixture
def shop(tmp_path: Path) -> RecipeFolder:
    return RecipeFolder(tmp_path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda out: (out.mkdir(), (out / "thesis.txt").write_text("mine")), "has files that are not a bundle"),
        (lambda out: out.write_text("mine"), "is not a folder"),
        (lambda out: out.symlink_to(out.parent), "is not a folder"),
    ],
)
def test_the_bundle_goes_over_no_other_folder(
    make: Callable[[Path], object], complaint: str, shop: RecipeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checked before the first step, not after the last."""
    out = shop.root / "out"
    make(out)
    before = sorted(shop.root.rglob("*"))
    assert main(["run", str(shop.recipe), "--work", str(shop.work), "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith(f"qtr distill: --out {out}: {complaint}")
    assert sorted(shop.root.rglob("*")) == before


@pytest.mark.parametrize("out", ["work", ".", "work/export", "work/mine/../export"])
def test_the_bundle_goes_over_no_step(out: str, shop: RecipeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(shop.recipe), "--work", str(shop.work), "--out", str(shop.root / out)]) == 1
    assert "overlaps the work folder" in capsys.readouterr().err
