"""Digests of files, of settings and of a step's code: a finished step is up to date if none of them changed."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from qtr_runtime.own_process import PACKAGES
from relevance_model.bundle import file_sha256

# What decides a result: the steps, and the measures that they share with `qtr evaluate`.
_PACKAGES = ("distillation.", "evaluation.")
# Not part of a code digest: the recipe's values have a digest of their own, the others change no result.
_EXCLUDED = (
    "distillation.recipe",
    "distillation.errors",
    "evaluation.judgement_sources",
    "evaluation.errors",
    "distillation.pipeline.progress",
    "distillation.steps.graph",
)


def tree_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its relative path; hidden files and folders are left out."""
    files = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(name): file_sha256(path) for path, name in files if not any(part[0] == "." for part in name.parts)}


def value_digest(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def code_digest(module: str) -> str:
    """Return a digest of a module of `distillation` (dotted name) and of all modules of these packages that it imports.

    Comments, layout and docstrings are ignored: they cannot change a result.
    """
    pending, seen = [module], {}
    while pending:
        name = pending.pop()
        if name in seen or f"{name}.".startswith(tuple(f"{excluded}." for excluded in _EXCLUDED)):
            continue
        tree = ast.parse(_source(name).read_text(encoding="utf-8"))
        pending += _imported(tree)
        seen[name] = ast.dump(_without_docstrings(tree))
    return value_digest(seen)


def _source(module: str) -> Path:
    path = PACKAGES.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(tree: ast.Module) -> list[str]:
    """Return the modules of these packages that `tree` imports; an imported name may itself be a module."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(_PACKAGES):
            names.append(node.module)
            names += [name for alias in node.names if _source(name := f"{node.module}.{alias.name}").exists()]
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
