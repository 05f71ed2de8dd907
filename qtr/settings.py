"""Settings of a program: one typed object, read from flags, then the environment, then defaults.

Each field is documented where it is defined; ``--help`` is made from that. A mistake is one sentence on stderr that
names the flag, and exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NoReturn, Self, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

USAGE_ERROR = 2
ENV_PREFIX = "QTR_"


class ProgramSettings(BaseSettings):
    """Base of every program's settings.

    A field ``max_rows`` is the flag ``--max-rows`` and the variable ``QTR_MAX_ROWS``. A list is a flag that may be
    repeated, a bool is ``--flag`` and ``--no-flag``. Values reach the field word for word: a title may hold commas,
    quotes and brackets.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", populate_by_name=True)
    prog: ClassVar[str] = "qtr"

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Read the settings from ``argv`` and the environment, or end the program with one clear sentence."""
        given = vars(_parser(cls).parse_args(argv))
        try:
            return cls(**given)
        except ValidationError as error:
            cls._refuse(error)
        except SettingsError as error:
            usage_error(cls.prog, str(error))

    @classmethod
    def _refuse(cls, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False)[0]
        name = next((str(part) for part in first["loc"] if isinstance(part, str)), "")
        flag = f"--{name.replace('_', '-')}"
        if first["type"] == "missing":
            usage_error(cls.prog, f"{flag} is required (see --help)")
        message = first["msg"].removeprefix("Value error, ")
        usage_error(cls.prog, f"{flag}: {message}" if name else message)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        usage_error(self.prog, f"{message} (see --help)")


def usage_error(prog: str, sentence: str) -> NoReturn:
    """Tell the user what to mend and exit with status 2."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def _parser(settings: type[ProgramSettings]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=settings.prog,
        description=(settings.__doc__ or "").strip(),
        epilog=f"Each flag can also be set by the environment: --some-flag is {ENV_PREFIX}SOME_FLAG.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, field in settings.model_fields.items():
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


def _help(field: FieldInfo) -> str:
    text = field.description or ""
    if field.is_required():
        text += " Required."
    elif field.default_factory is None and field.default is not None and field.annotation is not bool:
        text += f" Default: {field.default}."
    elif field.annotation is bool:
        text += f" Default: {'on' if field.default else 'off'}."
    return text.replace("%", "%%")


def _metavar(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    return getattr(kinds[0], "__name__", "value").upper()
