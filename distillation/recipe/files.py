"""Recipe files: find a recipe by name, read it, and write it as TOML."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from distillation.errors import RecipeError
from distillation.recipe.recipe import Recipe


def recipe_path(name: str) -> Path:
    """Return the file of a recipe; `name` is a path, or the name of a recipe that ships with the package."""
    shipped = Path(str(resources.files("distillation.recipe"))) / "recipes"
    path = Path(name)
    if path.suffix != ".toml" and not path.is_file() and (shipped / f"{name}.toml").exists():
        return shipped / f"{name}.toml"
    return path


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file cannot be read, is not TOML, or has an unknown field or an invalid value.

    Examples
    --------
    >>> load_recipe(recipe_path("smoke")).evaluation.folds
    2
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"recipe {path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not TOML ({error})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        reason = "no such field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"recipe {path}: {where}: {reason}") from None


def recipe_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML: all fields that differ from their default."""
    return _table("", recipe.model_dump(mode="json", exclude_defaults=True)).lstrip("\n")


def public(recipe: Recipe) -> Recipe:
    """Return the recipe as a card may show it: an encoder's folder is reduced to its last name."""
    name = recipe.encoder.name
    if not Path(name).is_dir():
        return recipe
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"name": Path(name).resolve().name})})


def _table(name: str, fields: dict[str, object]) -> str:
    text = ""
    nested = ""
    for key, value in fields.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            nested += f"\n[{path}]\n" + _table(path, value)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            nested += "".join(f"\n[[{path}]]\n" + _table(path, item) for item in value)
        elif value is not None:
            text += f"{_key(key)} = {_scalar(value)}\n"
    return text + nested


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _scalar(key)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return repr(value)
