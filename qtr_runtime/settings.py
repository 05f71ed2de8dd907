"""Settings of a program: one typed object, read from flags, then the environment, then a file, then defaults.

Each field is documented where it is defined; `--help` is made from that. A mistake is one sentence on stderr that
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
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

USAGE_ERROR = 2
ENV_PREFIX = "QTR_"
_CONFIG = "config"


class ProgramSettings(BaseSettings):
    """Base of every program's settings.

    A field `max_rows` is the flag `--max-rows`, the variable `QTR_MAX_ROWS` and the key `max_rows` of the TOML
    file that `--config` names. A list is a flag that may be repeated, a bool is `--flag` and `--no-flag`. Values
    reach the field word for word: a title may hold commas, quotes and brackets.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", populate_by_name=True)
    prog: ClassVar[str] = "qtr"
    from_file: ClassVar[dict[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources; pydantic-settings calls this."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=cls.from_file)

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Read the settings from `argv` and the environment, or end the program with one clear sentence."""
        given = vars(_parser(cls).parse_args(argv))
        file = given.pop(_CONFIG, None) or os.environ.get(f"{ENV_PREFIX}{_CONFIG.upper()}")
        sources = {
            "from_file": cls._read(Path(file)) if file else {},
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        try:
            settings: Self = type(cls.__name__, (cls,), sources)(**given)
            return settings
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
    """Tell the user what to mend and exit with status 2."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


class FlagRow(NamedTuple):
    """One flag, as the reference shows it."""

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
    """Return the fields, those that programs share last."""
    own = [(name, field) for name, field in settings.model_fields.items() if name in settings.__annotations__]
    return own + [
        (name, field) for name, field in settings.model_fields.items() if name not in settings.__annotations__
    ]


def _default(field: FieldInfo) -> str:
    """Return the default as a person reads it: "required", "on", "8001", or nothing if the description says it."""
    if field.is_required():
        return "required"
    if field.annotation is bool:
        return "on" if field.default else "off"
    if field.default_factory is not None or field.default is None or field.default == []:
        return ""
    return str(field.default)


def _help(field: FieldInfo) -> str:
    default = _default(field)
    said = {"": "", "required": " Required."}.get(default, f" Default: {default}.")
    return f"{field.description or ''}{said}".replace("%", "%%")


def _metavar(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    return getattr(kinds[0], "__name__", "value").upper()
