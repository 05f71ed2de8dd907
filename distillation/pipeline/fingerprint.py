"""Digests that tell whether a finished step still stands: of files, of settings, and of the code behind a step."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent
_BLOCK = 1 << 20
# A recipe counts by its values, and what is only shown, complained about or put in order changes no result.
_NO_PART = frozenset({"recipe", "recipe_data", "errors", "progress", "steps"})


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def tree_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its path there; names with a dot in front are left out."""
    files = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(name): file_digest(path) for path, name in files if not any(part[0] == "." for part in name.parts)}


def value_digest(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def code_digest(module: str) -> str:
    """Return a digest of a module of this package and of all that it imports from this package.

    Comments, layout and docstrings do not count: they cannot change a result.
    """
    pending, seen = [module], {}
    while pending:
        name = pending.pop()
        if name in seen or name in _NO_PART:
            continue
        tree = ast.parse((_PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        pending += _imported(tree)
        seen[name] = ast.dump(_without_docstrings(tree))
    return value_digest(seen)


def _imported(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "distillation":
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("distillation."):
            names.append(node.module.split(".")[1])
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
