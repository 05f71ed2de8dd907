"""Step ``export``: the bundle that ships, with its card and plots; refused unless it agrees with the trained student.

``bundle/`` is the bundle, ``docs/`` the page about it with its plots.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from distillation.card import model_card
from distillation.encoder import encoder_digest
from distillation.evaluate import SHIPPED, load_fold
from distillation.fit_students import student_logits
from distillation.folds import FINAL, read_judged
from distillation.model import round_to_half
from distillation.recipe import public, recipe_toml
from distillation.student_bundle import bundle_logits, check_parity, draft_manifest, write_student
from distillation.texts import TextTable
from distillation.work import Context, read_columns, read_json

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
        lineage={"data": lineage, "recipe": recipe_toml(shown), "encoder": encoder_digest(recipe.encoder.name)},
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
    check_parity(expected, bundle_logits(exact, queries, titles), queries, titles)
    bundle = write_student(model, tokenizer, folder / BUNDLE, manifest, form=recipe.export.form, card=card, files=drawn)
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / PAGE).write_text(_page(card), encoding="utf-8")
    for name in PLOTS:
        (folder / "docs" / f"model-{name}").write_text(drawn[name], encoding="utf-8")
    size = sum(file.stat().st_size for file in bundle.path.iterdir())
    context.progress.say(f"export: {bundle.manifest.name} {bundle.manifest.version}, {size / 1e6:.1f} MB")


def publish(context: Context, *, out: Path | None, docs: Path | None) -> None:
    """Copy the bundle to ``out``, whose former content is replaced, and the page with its plots into ``docs``."""
    folder = context.folder(FOLDER)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = out.with_name(f".{out.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(folder / BUNDLE, draft)
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
        context.progress.say(f"bundle written to {out}")
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        for file in (folder / "docs").iterdir():
            shutil.copyfile(file, docs / file.name)


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
