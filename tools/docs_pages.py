"""Pages of the documentation site that are made of the code: flags, recipe, public classes, contract.

`docs/conf.py` writes them into `docs/reference/` and `docs/project/` before the site is built; they are not in git.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qtr_runtime.settings import ENV_PREFIX, ProgramSettings, flag_rows

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "qtr serve": "grpc_server.settings:ServerSettings",
    "qtr label": "spark_jobs.settings:LabelSettings",
    "qtr score": "qtr.score:ScoreSettings",
    "qtr explain": "qtr.explain:ExplainSettings",
    "qtr check": "qtr.check:CheckSettings",
    "qtr evaluate": "qtr.evaluate:EvaluateSettings",
    "qtr sample": "qtr.sample:SampleSettings",
    "qtr calibrate": "qtr.calibrate:CalibrateSettings",
    "qtr plan": "qtr.plan:PlanSettings",
    "qtr tune": "qtr.tune:TuneSettings",
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

# What a recipe's key means in every table that does not say it itself.
COMMON_KEYS = {
    "batch": "Rows of one step.",
    "calibration": "How logits become probabilities: Platt scaling, or a temperature.",
    "confidence": "Of the bootstrap's intervals.",
    "epochs": "Passes over the rows.",
    "examples": "File of the judged pairs.",
    "format": "Which form the judgements have.",
    "gains": "Label to gain in NDCG.",
    "iterations": "Boosting rounds.",
    "label": "Column of the label.",
    "labels": "Label to probability; from one half on it is relevant.",
    "learning_rate": "Step size of the training.",
    "leaves": "Leaves of one tree at most.",
    "name": "Of the student; callers see it.",
    "path": "File or folder, below the data folder.",
    "products": "File of the titles.",
    "query": "Column of the query.",
    "replay_weight": "Of the first stage's pairs in the loss.",
    "resamples": "Of the bootstrap over queries.",
    "seed": "Of every random choice.",
    "timed_pairs": "Pairs that are scored to measure the time of one.",
    "title": "Column of the title.",
    "version": "Of the student; callers see it.",
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
        for row in flag_rows(settings):
            default = "required" if row.default == "required" else f"default `{row.default}`" if row.default else ""
            lines += _definition(row.flag, default, row.text)
    lines += ["## `qtr distill`", "", "```text", _help_of_distill(), "```", ""]
    return "\n".join(lines)


def _help_of_distill() -> str:
    """Return what `qtr distill --help` and `qtr distill run --help` print."""
    from distillation.__main__ import main

    printed = io.StringIO()
    for words in (["--help"], ["run", "--help"]):
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main(words)
        printed.write("\n")
    return printed.getvalue().strip()


def recipe() -> str:
    """Return the page of a recipe's tables, in the order of the file."""
    from distillation.recipe.recipe import Recipe

    lines = ["# Recipe", "", "What `qtr distill` reads: a TOML file with one table for each part.", ""]
    pending: list[tuple[str, type[BaseModel]]] = [("Top level", Recipe)]
    while pending:
        title, model = pending.pop(0)
        path = "" if model is Recipe else title.partition("`[")[2].partition("]`")[0].strip("[") + "."
        lines += [f"## {title}", "", (model.__doc__ or "").strip(), ""]
        inside = []
        for key, field in model.model_fields.items():
            parts = _models(field.annotation)
            many = get_origin(field.annotation) is list
            for part in parts:
                name = f"`[[{path}{key}]]`" if many else f"`[{path}{key}]`"
                kinds = get_args(part.model_fields["format"].annotation) if "format" in part.model_fields else ()
                inside.append((f"{name}, format {kinds[0]}" if kinds else name, part))
            default = "" if field.is_required() or parts else _toml(field.get_default())
            kind = ("tables" if many else "table") if parts else _kind(field)
            about = [kind, "required" if field.is_required() else f"default {default}" if default else ""]
            summary = " ".join((parts[0].__doc__ or "").split("\n\n")[0].split()) if parts else COMMON_KEYS.get(key, "")
            meaning = field.description or summary
            lines += _definition(key, ", ".join(filter(None, about)), meaning)
        pending = inside + pending
    return "\n".join(lines)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _kind(field: FieldInfo) -> str:
    """Return a field's type and bounds, as `int, ≥ 1`."""
    bounds = [f"{sign} {limit}" for bound in field.metadata for sign, limit in _bounds(bound)]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(_toml(value) for value in parts)
    if origin is Annotated:
        return _type(parts[0])
    if origin in {list, tuple}:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"table of {_type(parts[1])}"
    if parts:
        return " or ".join(_type(part) for part in parts if part is not type(None))
    return {"str": "text", "bool": "true or false"}.get(annotation.__name__, str(annotation.__name__))


def _bounds(bound: object) -> list[tuple[str, object]]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return [(sign, getattr(bound, name)) for name, sign in signs.items() if getattr(bound, name, None) is not None]


def _toml(value: object) -> str:
    """Return a value as code; nothing if it is absent or empty."""
    if value is None or value in ([], {}, (), ""):
        return ""
    if isinstance(value, dict):
        return "`" + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + "`"
    return f"`{json.dumps(value)}`"


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
    """Return a page of the top folder."""
    return site_links((ROOT / name).read_text(encoding="utf-8"), name)


def site_links(text: str, name: str) -> str:
    """Return the Markdown of the file `name` with its links as they are on the site.

    Pages link to each other there as in the repository. A link to a file that the site does not hold becomes code.
    """
    here = PurePosixPath(name).parent
    page = PurePosixPath("project", PROJECT[name]) if name in PROJECT else PurePosixPath(name).relative_to("docs")

    def link(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        file = posixpath.normpath(here / path)
        if file in PROJECT:
            file = f"docs/project/{PROJECT[file]}"
        if file.startswith("docs/"):
            relative = posixpath.relpath(file.removeprefix("docs/"), page.parent)
            return f"[{label}]({relative}{'#' + anchor if anchor else ''})"
        return label if label.startswith("`") else f"{label} (`{file}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


def _definition(name: str, about: str, meaning: str) -> list[str]:
    """Return an entry of a definition list, which reads well on a narrow screen, too."""
    head = f"`{name}`" + (
        f"{{.nowrap}} <span class='about'>{about.replace('<', '&lt;')}</span>" if about else "{.nowrap}"
    )
    return [head, f": {' '.join(meaning.split()).replace('<', '&lt;') or '—'}", ""]


def all_pages() -> dict[str, str]:
    """Return the text of every page by its path below `docs/`."""
    pages = {"reference/commands.md": commands(), "reference/recipe.md": recipe(), "reference/contract.md": contract()}
    pages |= {f"reference/{package}.md": api(package, title) for package, title in PUBLIC.items()}
    return pages | {f"project/{page}": project(name) for name, page in PROJECT.items()}


def write_all(docs: Path) -> None:
    """Write every page below the folder `docs`; a page that has not changed keeps its time."""
    for name, text in all_pages().items():
        path = docs / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
