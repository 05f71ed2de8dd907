"""Step `export`: the bundle that ships, with its card and plots; refused unless it agrees with the trained student.

`bundle/` is the bundle, `docs/` the page about it with its plots.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

from distillation.bundle.model_card import model_card
from distillation.bundle.parity import check_parity
from distillation.bundle.student_bundle import TOLERANCES, draft_manifest, write_student
from distillation.data.folds import FINAL, read_judged
from distillation.encoder.base_encoder import weights_digest
from distillation.errors import StepError
from distillation.pipeline.workspace import Context, read_columns, read_json
from distillation.recipe.recipe import public, recipe_toml
from distillation.steps.evaluate import SHIPPED, load_fold
from distillation.student.bilstm import round_to_half
from distillation.student.text_table import TextTable
from distillation.student.training import student_logits
from relevance_model.bundle import MANIFEST

FOLDER: Final = "export"
BUNDLE: Final = "bundle"
PAGE: Final = "model.md"
PLOTS: Final = ("roc.svg", "reliability.svg", "speed.svg")
_PROBE_ROWS: Final = 512


def run(context: Context) -> None:
    """Write bundle and page."""
    recipe, folder = context.recipe, context.folder(FOLDER)
    evaluated = context.folder("evaluate")
    report = read_json(evaluated / "report.json")
    lineage = read_json(context.folder("prepare") / "lineage.json")
    judged = read_judged(context)
    facts = {
        "report": report,
        "lineage": lineage,
        "augmented": read_json(context.folder("augment") / "report.json"),
        "weak": len(read_columns(context.folder("prepare") / "weak.parquet", ["target"])["target"]),
        "split": bool((judged.fold == -1).any()),
    }
    shown = public(recipe)
    card = model_card(shown, facts, (evaluated / "table.md").read_text(encoding="utf-8"))
    drawn = {name: (evaluated / name).read_text(encoding="utf-8") for name in PLOTS}
    calibration = report["calibration"]
    model, tokenizer = load_fold(context, FINAL)
    sizes = recipe.student.sizes
    manifest = draft_manifest(
        sizes,
        name=recipe.name,
        version=recipe.version,
        threshold=report["threshold"],
        calibration=(calibration["slope"], calibration["intercept"]),
        metrics=_metrics(report),
        lineage={"data": lineage, "recipe": recipe_toml(shown), "encoder": weights_digest(recipe.encoder.name)},
    )
    queries, titles = judged.queries[:_PROBE_ROWS], judged.titles[:_PROBE_ROWS]
    table = TextTable(
        tokenizer,
        [*queries, *titles],
        max_query_tokens=sizes.max_query_tokens,
        max_title_tokens=sizes.max_title_tokens,
    )
    round_to_half(model)
    expected = student_logits(model, table, table.rows(queries), table.rows(titles))
    exact = write_student(model, tokenizer, folder / BUNDLE, manifest, form="float32")
    check_parity(expected, exact, queries, titles, tolerance=TOLERANCES["float32"])
    form = recipe.export.form
    bundle = write_student(model, tokenizer, folder / BUNDLE, manifest, form=form, card=card, files=drawn)
    check_parity(expected, bundle, queries, titles, tolerance=TOLERANCES[form])
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / PAGE).write_text(_page(card), encoding="utf-8")
    for name in PLOTS:
        (folder / "docs" / f"model-{name}").write_text(drawn[name], encoding="utf-8")
    size = sum(file.stat().st_size for file in bundle.path.iterdir())
    context.progress.say(f"export: {bundle.manifest.name} {bundle.manifest.version}, {size / 1e6:.1f} MB")


def check_targets(out: Path | None, docs: Path | None, work: Path) -> None:
    """See, before hours of work, that the bundle can be put at `out` and the page into `docs`.

    Raises
    ------
    StepError
        If `out` is anything but a bundle, an empty folder or nothing yet, or lies in the work folder or around it, or
        either cannot be written.
    """
    if out is not None:
        place = out.absolute()
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise StepError(f"--out {out}: is no folder; name one for the bundle alone")
        real, steps = place.resolve(), work.resolve()
        if real.is_relative_to(steps) or steps.is_relative_to(real):
            raise StepError(f"--out {out}: overlaps the work folder {work}; name a folder for the bundle alone")
        if place.is_dir() and any(place.iterdir()) and not (place / MANIFEST).is_file():
            raise StepError(f"--out {out}: holds files that are no bundle; name a folder for the bundle alone")
        _check_writable(place.parent, f"--out {out}")
    if docs is not None:
        if docs.exists() and not docs.is_dir():
            raise StepError(f"--docs {docs}: is no folder")
        _check_writable(docs.absolute(), f"--docs {docs}")


def publish(context: Context, *, out: Path | None, docs: Path | None) -> None:
    """Copy the bundle to `out`, replacing one that is there, and the page with its plots into `docs`.

    Raises
    ------
    StepError
        If either cannot be written.
    """
    # Once more: it was hours ago.
    check_targets(out, docs, context.work)
    folder = context.folder(FOLDER)
    try:
        if out is not None:
            _replace_folder(folder / BUNDLE, out.absolute())
            context.progress.say(f"bundle written to {out}")
        if docs is not None:
            docs.mkdir(parents=True, exist_ok=True)
            for file in (folder / "docs").iterdir():
                shutil.copyfile(file, docs / file.name)
    except (OSError, shutil.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise StepError(f"the bundle is in {folder / BUNDLE}, but cannot be copied from there ({said})") from None


def _replace_folder(source: Path, target: Path) -> None:
    """Copy a folder; but for a moment between two renames, a reader of `target` finds the old one or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (target.with_name(f".{target.name}.{kind}") for kind in ("draft", "old"))
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(source, draft)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _check_writable(folder: Path, what: str) -> None:
    """See that `folder`, or what is there of it, takes files."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StepError(f"{what}: {there} cannot be written to")


def _page(card: str) -> str:
    """Return the card as a page of the documentation: the plots have longer names there."""
    for name in PLOTS:
        card = card.replace(f"({name})", f"(model-{name})")
    return card


def _metrics(report: dict[str, Any]) -> dict[str, Any]:
    table = report["table"]
    return {
        "rows": report["rows"],
        "queries": report["queries"],
        "shipped": table[SHIPPED],
        "auc": {name: measures["auc"] for name, measures in table.items()},
        "parity": report["parity"],
    }
