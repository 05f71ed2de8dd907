"""Steps: skipped when nothing changed, run again when something did, refused out of order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillation.__main__ import main
from distillation.pipeline.fingerprint import code_digest
from distillation.pipeline.workspace import begin, finish, locked, read_record
from distillation.recipe.recipe import recipe_path
from distillation.steps import graph
from tests.support.small_shop import small_shop, write_encoder, write_wands


class Shop:
    """A recipe beside its data, and a count of which steps really ran."""

    def __init__(self, root: Path) -> None:
        shop = small_shop()
        write_wands(shop, root)
        encoder = write_encoder(shop, root / "encoder")
        text = recipe_path("smoke").read_text().replace("rows = 4000", "rows = 320")
        self.text = text + f'\n[encoder]\nname = "{encoder}"\n'
        self.root, self.work, self.recipe = root, root / "work", root / "smoke.toml"
        self.recipe.write_text(self.text)

    def run(self, *words: str) -> int:
        return main([*words, str(self.recipe), "--work", str(self.work)])

    def stamp(self, step: str) -> int:
        return (self.work / step / "step.json").stat().st_mtime_ns


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_finished_step_is_skipped_until_its_part_of_the_recipe_changes(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("prepare", "pretrain", "augment"):
        assert shop.run(step) == 0
    stamps = {step: shop.stamp(step) for step in ("prepare", "pretrain", "augment")}
    capsys.readouterr()
    shop.recipe.write_text(shop.text.replace("crops = 800", "crops = 400"))
    for step in stamps:
        assert shop.run(step) == 0
    assert {step for step, stamp in stamps.items() if shop.stamp(step) != stamp} == {"augment"}
    assert "augment: changed since it last ran: recipe" in capsys.readouterr().err


def test_new_data_runs_everything_again_that_read_it(shop: Shop) -> None:
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


def test_a_file_that_was_altered_is_made_again(shop: Shop) -> None:
    assert shop.run("prepare") == 0
    path = shop.work / "prepare" / "titles.parquet"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert shop.run("prepare") == 0
    assert path.read_bytes() == good


def test_a_step_out_of_order_is_one_sentence(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("pretrain") == 1
    assert capsys.readouterr().err == ("qtr distill: prepare has not finished: run it first, or qtr distill run\n")


def test_a_work_folder_that_cannot_be_written_is_one_sentence(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.work.write_text("in the way")
    assert shop.run("prepare") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"qtr distill: work folder {shop.work}: cannot be written")


def test_a_step_does_not_build_on_what_another_recipe_made(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    for step in ("prepare", "pretrain"):
        assert shop.run(step) == 0
    shop.recipe.write_text("seed = 5\n" + shop.text)
    assert shop.run("pretrain") == 1
    assert "pretrain builds on prepare, which is out of date (recipe): run it again" in capsys.readouterr().err
    shop.recipe.write_text(shop.text)
    (shop.work / "prepare" / "titles.parquet").write_bytes(b"")
    assert shop.run("pretrain") == 1
    assert "pretrain builds on prepare, which is out of date (its files)" in capsys.readouterr().err


def test_a_step_builds_on_what_other_code_made_and_says_so(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.run("prepare") == 0
    monkeypatch.setattr(graph, "code_digest", lambda module: f"{code_digest(module)} of tomorrow")
    capsys.readouterr()
    assert shop.run("augment") == 0
    assert "augment: other code than this made prepare\n" in capsys.readouterr().err


def test_a_step_goes_on_from_a_work_folder_alone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("prepare") == 0
    (shop.root / "label.csv").rename(shop.root / "elsewhere.csv")
    capsys.readouterr()
    assert shop.run("augment") == 0
    said = capsys.readouterr().err
    assert "prepare: its data are not at hand, and taken to be as they were" in said
    assert "label.csv: no such file" in said
    assert shop.run("prepare") == 1


def test_a_work_folder_with_files_of_others_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    own = shop.work / "prepare" / "thesis.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert shop.run("prepare") == 1
    assert "holds files that no step left; name another work folder" in capsys.readouterr().err
    assert own.read_text() == "mine"


def test_a_folder_that_a_file_browser_wrote_to_stands(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.run("prepare") == 0
    (shop.work / "prepare" / ".DS_Store").write_text("x")
    capsys.readouterr()
    assert shop.run("prepare") == 0
    assert "prepare: finished before" in capsys.readouterr().err


def test_two_at_a_time_do_not_share_a_work_folder(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(shop.work):
        assert shop.run("prepare") == 1
    assert capsys.readouterr().err.endswith(": another qtr distill works there; wait for it, or end it\n")
    assert shop.run("prepare") == 0


def test_what_a_kill_left_half_written_is_no_result(tmp_path: Path) -> None:
    folder = tmp_path / "step"
    assert not begin(folder, "step", {"recipe": "1"})
    (folder / "fold" / ".draft-x").mkdir(parents=True)
    for name in ("result", ".result.draft", "fold/.draft-x/graph", "fold/.y.draft", "fold/checkpoint.pt"):
        (folder / name).write_text("x")
    assert begin(folder, "step", {"recipe": "1"})
    assert list(finish(folder, "step", {"recipe": "1"}, 0.0).files) == ["result"]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda out: (out.mkdir(), (out / "thesis.txt").write_text("mine")), "holds files that are no bundle"),
        (lambda out: out.write_text("mine"), "is no folder"),
        (lambda out: out.symlink_to(out.parent), "is no folder"),
    ],
)
def test_the_bundle_goes_over_no_other_folder(
    make: Callable[[Path], object], complaint: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told before the first step, not after the last."""
    out = shop.root / "out"
    make(out)
    before = sorted(shop.root.rglob("*"))
    assert main(["run", str(shop.recipe), "--work", str(shop.work), "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith(f"qtr distill: --out {out}: {complaint}")
    assert sorted(shop.root.rglob("*")) == before


@pytest.mark.parametrize("out", ["work", ".", "work/export", "work/mine/../export"])
def test_the_bundle_goes_over_no_step(out: str, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(shop.recipe), "--work", str(shop.work), "--out", str(shop.root / out)]) == 1
    assert "overlaps the work folder" in capsys.readouterr().err


def test_the_code_behind_a_step_is_in_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from distillation.pipeline import fingerprint

    imports = "from distillation.data import c\nfrom distillation.data.b import x\n"
    package = tmp_path / "distillation" / "data"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text('"""A package."""\n')
    (package / "a.py").write_text(f'"""Words."""\n{imports}y = x  # why\n')
    (package / "c.py").write_text("z = 1\n")
    (package / "b.py").write_text("x = 1\n")
    monkeypatch.setattr(fingerprint, "PACKAGES", tmp_path)
    first = code_digest("distillation.data.a")
    (package / "a.py").write_text(f'"""Other words."""\n\n{imports}\ny = x\n')
    assert code_digest("distillation.data.a") == first
    (package / "c.py").write_text("z = 2\n")
    assert code_digest("distillation.data.a") != first
    (package / "c.py").write_text("z = 1\n")
    assert code_digest("distillation.data.a") == first
    (package / "b.py").write_text("x = 2\n")
    assert code_digest("distillation.data.a") != first


def test_what_is_printed_off_a_terminal_are_plain_lines(shop: Shop, capsys: Any) -> None:
    assert shop.run("prepare") == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("judged pairs of 24 queries" in line for line in lines)
    assert all(line.isprintable() for line in lines)
