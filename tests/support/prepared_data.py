"""Small tables of judgements, and the files that step `prepare` makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distillation.pipeline.workspace import Context
from distillation.recipe.recipe import Recipe
from distillation.steps.prepare import run

TABLE = {"format": "table", "path": "j.tsv", "labels": {"bad": 0.0, "good": 1.0}}


def prepared(root: Path, data: dict[str, object], **evaluation: object) -> Context:
    recipe = Recipe.model_validate({"data": data, "evaluation": {"folds": 2, **evaluation}})
    context = Context(recipe, root / "work", root)
    run(context)
    return context


def judged_table(rows: Sequence[tuple[object, ...]], header: str = "query\ttitle\tlabel") -> str:
    return "\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n"


ROWS: list[tuple[object, ...]] = [
    (f"query {n}", f"title {n} {m}", label) for n in range(4) for m, label in enumerate(("good", "bad"))
]
