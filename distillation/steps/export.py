"""Step `export`: write the bundle that ships, with its card and plots, if its logits are those of the trained student.

`bundle/` is the bundle.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

from distillation.bundle.capability_table import SHIPPED
from distillation.bundle.model_card import model_card
from distillation.bundle.parity import check_parity
from distillation.bundle.student_bundle import TOLERANCES, draft_manifest, write_student
from distillation.data.folds import FINAL, read_judged
from distillation.encoder.base_encoder import weights_digest
from distillation.errors import StepError
from distillation.pipeline.workspace import Context, read_columns, read_json
from distillation.recipe.files import public, recipe_toml
from distillation.steps.evaluate import load_fold
from distillation.student.bilstm import round_to_float16
from distillation.student.text_table import TextTable
from distillation.student.training import student_logits
from relevance_model.bundle import MANIFEST

FOLDER: Final = "export"
BUNDLE: Final = "bundle"
PLOTS: Final = ("roc.svg", "reliability.svg", "speed.svg")
_PROBE_ROWS: Final = 512


def run(context: Context) -> None:
    """Write the bundle and check it."""
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
    plots = {name: (evaluated / name).read_text(encoding="utf-8") for name in PLOTS}
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
    round_to_float16(model)
    expected = student_logits(model, table, table.rows(queries), table.rows(titles))
    exact = write_student(model, tokenizer, folder / BUNDLE, manifest, precision="float32")
    check_parity(expected, exact, queries, titles, tolerance=TOLERANCES["float32"])
    precision = recipe.export.precision
    bundle = write_student(model, tokenizer, folder / BUNDLE, manifest, precision=precision, card=card, files=plots)
    check_parity(expected, bundle, queries, titles, tolerance=TOLERANCES[precision])
    size = sum(file.stat().st_size for file in bundle.path.iterdir())
    context.progress.say(f"export: {bundle.manifest.name} {bundle.manifest.version}, {size / 1e6:.1f} MB")


def check_target(out: Path, work: Path) -> None:
    """Check, before hours of work, that the bundle can be written to `out`.

    Raises
    ------
    StepError
        If `out` is neither absent, an empty folder nor a bundle, overlaps the work folder, or cannot be written.
    """
    target = out.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise StepError(f"--out {out}: is not a folder; name a folder for the bundle alone")
    real, steps = target.resolve(), work.resolve()
    if real.is_relative_to(steps) or steps.is_relative_to(real):
        raise StepError(f"--out {out}: overlaps the work folder {work}; name a folder for the bundle alone")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise StepError(f"--out {out}: has files that are not a bundle; name a folder for the bundle alone")
    existing = next(parent for parent in target.parents if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise StepError(f"--out {out}: {existing} cannot be written to")


def publish(context: Context, out: Path) -> None:
    """Copy the bundle to `out`, replacing an older one.

    Raises
    ------
    StepError
        If it cannot be written.
    """
    # Checked again: the first check was hours ago.
    check_target(out, context.work)
    bundle = context.folder(FOLDER) / BUNDLE
    try:
        _replace_folder(bundle, out.absolute())
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StepError(f"the bundle is in {bundle}, but cannot be copied to {out} ({reason})") from None
    context.progress.say(f"bundle written to {out}")


def _replace_folder(source: Path, target: Path) -> None:
    """Copy a folder to `target` by two renames; between them, for a moment, `target` is absent."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (target.with_name(f".{target.name}.{kind}") for kind in ("draft", "old"))
    for left in (draft, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(source, draft)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _metrics(report: dict[str, Any]) -> dict[str, Any]:
    table = report["table"]
    return {
        "rows": report["rows"],
        "queries": report["queries"],
        "shipped": table[SHIPPED],
        "auc": {name: measures["auc"] for name, measures in table.items()},
        "parity": report["parity"],
        "capabilities": report["capabilities"]["scorers"][SHIPPED]["all"],
    }
