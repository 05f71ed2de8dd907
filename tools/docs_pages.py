"""Pages of the documentation site that are made of the code: flags, recipe, public classes, contract.

`docs/conf.py` writes them into `docs/reference/` and `docs/project/` before the site is built; they are not in git.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from qtr_runtime.settings import ENV_PREFIX, ProgramSettings, flag_rows

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "qtr serve": "grpc_server.settings:ServerSettings",
    "qtr label": "spark_jobs.settings:LabelSettings",
    "qtr score": "qtr.score:ScoreSettings",
    "qtr plan": "qtr.plan:PlanSettings",
    "qtr tune": "qtr.tune:TuneSettings",
    "python -m grpc_server.probe": "grpc_server.probe:ProbeSettings",
}
PUBLIC = {
    "relevance_model": "The model as a library",
    "grpc_client": "The client",
    "spark_jobs": "Scoring from your own Spark code",
}
PROJECT = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
}


def commands() -> str:
    """Return the page of every program's flags."""
    from qtr.__main__ import PROGRAMS

    lines = ["# Commands", "", "Each command prints this with `--help`.", ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| `qtr {name}` | {program.summary} |" for name, program in PROGRAMS.items()]
    lines += [
        "",
        f"A flag is also a variable (`--some-flag` is `{ENV_PREFIX}SOME_FLAG`) and a line of the TOML file that ",
    ]
    lines += ["`--config` names (`some_flag = …`). A flag wins over a variable, a variable over the file.", ""]
    for prog, place in SETTINGS.items():
        module, name = place.split(":")
        settings: type[ProgramSettings] = getattr(importlib.import_module(module), name)
        lines += [f"## `{prog}`", "", (settings.__doc__ or "").strip(), ""]
        lines += ["| flag | default | meaning |", "|---|---|---|"]
        lines += [f"| `{row.flag}` | {_cell(row.default)} | {_cell(row.text)} |" for row in flag_rows(settings)]
        lines.append("")
    return "\n".join(lines)


def recipe() -> str:
    """Return the page of a recipe's parts."""
    from distillation.recipe.recipe import Recipe

    lines = ["# Recipe", "", "What `qtr distill` reads: a TOML file with one table for each part.", ""]
    pending: list[tuple[str, type[BaseModel]]] = [("", Recipe)]
    while pending:
        path, model = pending.pop(0)
        lines += [f"## `[{path}]`" if path else "## Top level", "", (model.__doc__ or "").strip().split("\n\n")[0], ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key, field in model.model_fields.items():
            inner = _models(field.annotation)
            pending += [(f"{path}.{key}".lstrip("."), part) for part in inner]
            default = "required" if field.is_required() else "" if field.default_factory else f"`{field.default!r}`"
            kind = (
                "table" if inner else str(field.annotation).replace("typing.", "").removeprefix("<class '").rstrip("'>")
            )
            lines.append(
                f"| `{key}` | {_cell(kind)} | {default if not inner else ''} | {_cell(field.description or '')} |"
            )
        lines.append("")
    return "\n".join(lines)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def api(package: str, title: str) -> str:
    """Return the page of a package's public names."""
    module = importlib.import_module(package)
    lines = [f"# {title}", "", f"What `{package}` lists in `__all__`; see the [stability statement]"]
    lines[-1] += "(../project/contributing.md#stability)."
    for name in module.__all__:
        if isinstance(getattr(module, name), type) or callable(getattr(module, name)):
            kind = "class" if isinstance(getattr(module, name), type) else "function"
            members = "   :members:\n" if kind == "class" else ""
            lines += ["", "```{eval-rst}", f".. auto{kind}:: {package}.{name}\n{members}```"]
    return "\n".join(lines) + "\n"


def contract() -> str:
    """Return the page of the contract, which explains itself in its comments."""
    text = (ROOT / "proto/relevance/v1/relevance.proto").read_text(encoding="utf-8")
    return f"# The contract\n\n`proto/relevance/v1/relevance.proto`\n\n```proto\n{text}```\n"


def project(name: str) -> str:
    """Return a page of the top folder; links into the sources become code, for the site has no sources."""
    text = (ROOT / name).read_text(encoding="utf-8")

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        if path in PROJECT:
            return f"[{label}]({PROJECT[path]}{'#' + anchor if anchor else ''})"
        if path.startswith("docs/"):
            return f"[{label}](../{path.removeprefix('docs/')}{'#' + anchor if anchor else ''})"
        return label if label.startswith("`") else f"{label} (`{path}`)"

    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", link, text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def write_all(docs: Path) -> None:
    """Write every page below the folder `docs`; a page that has not changed keeps its time."""
    pages = {"reference/commands.md": commands(), "reference/recipe.md": recipe(), "reference/contract.md": contract()}
    pages |= {f"reference/{package}.md": api(package, title) for package, title in PUBLIC.items()}
    pages |= {f"project/{page}": project(name) for name, page in PROJECT.items()}
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
