"""Settings of a program: one typed object from flags, the environment, a file and defaults, in this order of rank.

Each field has a description, of which `--help` and the reference are made. A wrong value is one sentence on stderr that
names the flag, and exit status 2.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, Self, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

USAGE_ERROR = 2
ENV_PREFIX = "QTR_"
_CONFIG = "config"


class ProgramSettings(BaseSettings):
    """Base of every program's settings.

    A field `max_rows` is the flag `--max-rows`, the variable `QTR_MAX_ROWS` and the key `max_rows` of the TOML file of
    `--config`. A list is a flag that may be repeated, a bool is `--flag` and `--no-flag`. Values of flags are taken
    literally: a title may hold commas, quotes and brackets.

    Examples
    --------
    >>> from pydantic import Field
    >>> class Greeting(ProgramSettings):
    ...     '''Says hello.'''
    ...     name: str = Field(default="you", description="Whom to greet.")
    >>> Greeting.parse(["--name", "Ada"]).name
    'Ada'
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", populate_by_name=True)
    prog: ClassVar[str] = "qtr"

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Return the settings from `argv`, the environment and the file, or end the program with one sentence."""
        flags = vars(_parser(cls).parse_args(argv))
        file = flags.pop(_CONFIG, None) or os.environ.get(f"{ENV_PREFIX}{_CONFIG.upper()}")
        from_file = cls._read(Path(file)) if file else {}
        try:
            # Values that are given outrank what the class reads from the environment, so those go in between.
            environment = EnvSettingsSource(cls)()
            return cls(**{**from_file, **environment, **flags})
        except ValidationError as error:
            cls._refuse(error)
        except SettingsError as error:
            usage_error(cls.prog, str(error))

    @classmethod
    def _read(cls, file: Path) -> dict[str, Any]:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            usage_error(cls.prog, f"--config: {file} cannot be read ({error.strerror})")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            usage_error(cls.prog, f"--config: {file} is not TOML ({error})")
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            usage_error(cls.prog, f"--config: {file}: unknown setting {unknown[0]}")
        return values

    @classmethod
    def _refuse(cls, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False)[0]
        name = next((str(part) for part in first["loc"] if isinstance(part, str)), "")
        flag = f"--{name.replace('_', '-')}"
        if first["type"] == "missing":
            usage_error(cls.prog, f"{flag} is required (see --help)")
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_unicode":
            message = "is not valid UTF-8, or the locale has no such characters (LC_ALL=C.UTF-8 has)"
        usage_error(cls.prog, f"{flag}: {message}" if name else message)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        usage_error(self.prog, f"{message} (see --help)")


def usage_error(prog: str, sentence: str) -> NoReturn:
    """Print the sentence to standard error and exit with status 2."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


class FlagRow(NamedTuple):
    """One flag in the reference."""

    flag: str
    default: str
    text: str


def flag_rows(settings: type[ProgramSettings]) -> list[FlagRow]:
    """Return a row for each flag of a program, in the order of `--help`."""
    return [
        FlagRow(f"--{(field.alias or name).replace('_', '-')}", _default(field), field.description or "")
        for name, field in _own_first(settings)
    ]


def _parser(settings: type[ProgramSettings]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=settings.prog,
        description=(settings.__doc__ or "").strip(),
        epilog=f"Each flag can also be set by the environment: --some-flag is {ENV_PREFIX}SOME_FLAG.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(f"--{_CONFIG}", metavar="FILE", help="TOML file of settings, named as the flags with _ for -.")
    for name, field in _own_first(settings):
        flag = f"--{(field.alias or name).replace('_', '-')}"
        options: dict[str, Any] = {"dest": field.alias or name, "help": _help(field)}
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif get_origin(field.annotation) is list:
            options |= {"action": "append", "metavar": "…"}
        else:
            options["metavar"] = _metavar(field)
        parser.add_argument(flag, **options)
    return parser


def _own_first(settings: type[ProgramSettings]) -> list[tuple[str, FieldInfo]]:
    """Return the fields: the class's own first, then those that it inherits."""
    own = [(name, field) for name, field in settings.model_fields.items() if name in settings.__annotations__]
    return own + [
        (name, field) for name, field in settings.model_fields.items() if name not in settings.__annotations__
    ]


def _default(field: FieldInfo) -> str:
    """Return the default as text: "required", "on", "8001"; "" if the description says it."""
    if field.is_required():
        return "required"
    if field.annotation is bool:
        return "on" if field.default else "off"
    if field.default_factory is not None or field.default is None or field.default == []:
        return ""
    return str(field.default)


def _help(field: FieldInfo) -> str:
    default = _default(field)
    suffix = {"": "", "required": " Required."}.get(default, f" Default: {default}.")
    return f"{field.description or ''}{suffix}".replace("%", "%%")


def _metavar(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    return getattr(kinds[0], "__name__", "value").upper()
