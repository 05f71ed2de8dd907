"""Digests that tell whether a finished step still stands: of files, of settings, and of the code behind a step."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from qtr_runtime.own_process import PACKAGES
from relevance_model.bundle import file_sha256

# A recipe counts by its values, and what is only shown, complained about or put in order changes no result.
_PACKAGE = "distillation"
_NO_PART = ("distillation.recipe", "distillation.errors", "distillation.pipeline.progress", "distillation.steps.graph")


def tree_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its path there; names with a dot in front are left out."""
    files = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(name): file_sha256(path) for path, name in files if not any(part[0] == "." for part in name.parts)}


def value_digest(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def code_digest(module: str) -> str:
    """Return a digest of a module of `distillation` (its dotted name) and of all that it imports from there.

    Comments, layout and docstrings do not count: they cannot change a result.
    """
    pending, seen = [module], {}
    while pending:
        name = pending.pop()
        if name in seen or f"{name}.".startswith(tuple(f"{left_out}." for left_out in _NO_PART)):
            continue
        tree = ast.parse(_source(name).read_text(encoding="utf-8"))
        pending += _imported(tree)
        seen[name] = ast.dump(_without_docstrings(tree))
    return value_digest(seen)


def _source(module: str) -> Path:
    path = PACKAGES.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(tree: ast.Module) -> list[str]:
    """Return the modules of the package that `tree` imports; a name may be a module of its own."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{_PACKAGE}."):
            names.append(node.module)
            names += [name for alias in node.names if _source(name := f"{node.module}.{alias.name}").exists()]
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
