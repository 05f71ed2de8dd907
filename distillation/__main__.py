"""Command line of the distillation room: `qtr distill run RECIPE …`, or one step by its name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from distillation.errors import DistillationError
from distillation.recipe.recipe import Recipe, load_recipe, recipe_path
from distillation.steps.graph import STEPS

RUN = "run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run; return 0, or 1 after one sentence on stderr that says what was wrong, or 130 if interrupted."""
    options = _parser().parse_args(argv)
    try:
        path = recipe_path(options.recipe)
        return _run(options, load_recipe(path), path)
    except DistillationError as error:
        print(f"qtr distill: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("qtr distill: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, recipe: Recipe, path: Path) -> int:
    # torch is heavy: a misspelt option or recipe is told before it loads.
    import torch

    from distillation.encoder.base_encoder import check_encoder
    from distillation.pipeline.workspace import Context, locked
    from distillation.steps.export import check_targets, publish
    from distillation.steps.graph import named, run_all, run_step
    from qtr_runtime.resources import available_cpus

    threads = recipe.threads or available_cpus()
    torch.set_num_threads(threads)
    context = Context(recipe, options.work, options.data if options.data is not None else path.resolve().parent)
    publishes = options.step in {RUN, "export"}
    if publishes:
        check_targets(options.out, options.docs, options.work)
    check_encoder(recipe)
    with locked(context.work):
        if options.step == RUN:
            run_all(context)
        else:
            run_step(named(options.step), context)
        if publishes:
            publish(context, out=options.out, docs=options.docs)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qtr distill",
        description="Distil a student from judgements: all steps of a recipe, or one of them. A step whose part of the "
        "recipe, inputs and code are as they were is skipped; one that was interrupted goes on from its checkpoint.",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    everything = steps.add_parser(RUN, help="run every step in order (but for the optional ones)")
    _arguments(everything, publishes=True)
    for step in STEPS:
        help_text = step.summary + (" (optional)" if step.optional else "")
        one = steps.add_parser(step.name, help=help_text, description=help_text)
        _arguments(one, publishes=step.name == "export")
    return parser


def _arguments(parser: argparse.ArgumentParser, *, publishes: bool) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="recipe in TOML, or the name of one that ships with qtr")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder of the steps' files; kept")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder that the recipe's paths are below (default: the recipe's)"
    )
    if publishes:
        parser.add_argument("--out", type=Path, metavar="DIR", help="copy the bundle here, over one that is there")
        parser.add_argument("--docs", type=Path, metavar="DIR", help="copy the page about it and its plots here")


if __name__ == "__main__":
    raise SystemExit(main())
