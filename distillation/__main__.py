"""Command line of `distillation`: `qtr distill run RECIPE …`, or `qtr distill STEP RECIPE …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from distillation.errors import DistillationError
from distillation.recipe.files import load_recipe, recipe_path
from distillation.recipe.recipe import Recipe
from distillation.steps.graph import STEPS
from evaluation.errors import EvaluationError

RUN = "run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0 for success, 1 after one sentence on stderr that says what was wrong, 130 if interrupted."""
    options = _parser().parse_args(argv)
    try:
        path = recipe_path(options.recipe)
        return _run(options, load_recipe(path), path)
    except (DistillationError, EvaluationError) as error:
        print(f"qtr distill: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("qtr distill: interrupted; the same command resumes at the last checkpoint", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, recipe: Recipe, path: Path) -> int:
    # torch takes seconds to import: a misspelt option or recipe is reported before that.
    import torch

    from distillation.bundle.capability_table import read_capabilities
    from distillation.encoder.base_encoder import check_encoder
    from distillation.pipeline.workspace import Context, locked
    from distillation.steps.export import check_target, publish
    from distillation.steps.graph import named, run_all, run_step
    from qtr_runtime.resources import available_cpus

    threads = recipe.threads or available_cpus()
    torch.set_num_threads(threads)
    context = Context(recipe, options.work, options.data if options.data is not None else path.resolve().parent)
    out = options.out if options.step in {RUN, "export"} else None
    if out is not None:
        check_target(out, options.work)
    check_encoder(recipe)
    if options.step in {RUN, "evaluate"}:
        # Here too: it is used after hours of work.
        read_capabilities(recipe, context.data)
    with locked(context.work):
        if options.step == RUN:
            run_all(context)
        else:
            run_step(named(options.step), context)
        if out is not None:
            publish(context, out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qtr distill",
        description="Distil a student from judgements: all steps of a recipe, or one of them. A step is skipped if its "
        "part of the recipe, its inputs and its code have not changed; an interrupted step resumes at its checkpoint.",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    everything = steps.add_parser(RUN, help="run every step in order, except the optional ones")
    _arguments(everything, publishes=True)
    for step in STEPS:
        help_text = step.summary + (" (optional)" if step.optional else "")
        one = steps.add_parser(step.name, help=help_text, description=help_text)
        _arguments(one, publishes=step.name == "export")
    return parser


def _arguments(parser: argparse.ArgumentParser, *, publishes: bool) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="recipe in TOML, or the name of one that ships with qtr")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder that keeps the steps' files")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder that the recipe's paths start at (default: the recipe's)"
    )
    if publishes:
        parser.add_argument("--out", type=Path, metavar="DIR", help="copy the bundle here, replacing an older one")


if __name__ == "__main__":
    raise SystemExit(main())
