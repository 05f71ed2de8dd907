"""Command line of the distillation room: ``qtr distill student …`` or ``python -m distillation student …``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from distillation.errors import DistillationError
from distillation.recipe import load_recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step; return 0, or 1 after one sentence on stderr that says what was wrong."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return _student(options)
    except DistillationError as error:
        print(f"distill: {error}", file=sys.stderr)
        return 1


def _student(options: argparse.Namespace) -> int:
    recipe = load_recipe(options.recipe)
    # torch is heavy: a misspelt option or recipe is told before it loads.
    from distillation.student import distil_student

    bundle, report = distil_student(recipe, data_root=options.data, work=options.work, out=options.out)
    print(f"{bundle.manifest.name} {bundle.manifest.version} written to {bundle.path}")
    for name, interval in report.auc.items():
        print(f"  AUC {interval}  {name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qtr distill", description="Train students and export their bundles.")
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    student = steps.add_parser("student", help="train, measure and export a student")
    student.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder to read from")
    student.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for what is worth keeping")
    student.add_argument("--out", type=Path, required=True, metavar="DIR", help="bundle folder to write; replaced")
    student.add_argument("--recipe", type=Path, metavar="FILE", help="recipe in TOML (default: the shipped one)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
