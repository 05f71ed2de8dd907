"""Settings of a program: one typed object, read from flags, then the environment, then defaults.

Each field is documented where it is defined; ``--help`` is made from that. A mistake is one sentence on stderr that
names the flag, and exit status 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

USAGE_ERROR = 2
ENV_PREFIX = "QTR_"


class ProgramSettings(BaseSettings):
    """Base of every program's settings.

    A field ``max_rows`` is the flag ``--max-rows`` and the variable ``QTR_MAX_ROWS``.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="ignore",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_enforce_required=False,
        populate_by_name=True,
    )
    prog: ClassVar[str] = "qtr"

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Read the settings from ``argv`` and the environment, or end the program with one clear sentence."""
        source = CliSettingsSource[Any](cls, cli_prog_name=cls.prog, cli_parse_args=list(argv))
        try:
            return cls(_cli_settings_source=source)  # type: ignore[call-arg]
        except ValidationError as error:
            cls._refuse(error)
        except SettingsError as error:
            usage_error(cls.prog, str(error))

    @classmethod
    def _refuse(cls, error: ValidationError) -> NoReturn:
        first = error.errors(include_url=False)[0]
        field = "-".join(str(part) for part in first["loc"] if isinstance(part, str)).replace("_", "-")
        if first["type"] == "missing":
            usage_error(cls.prog, f"--{field} is required (see --help)")
        message = first["msg"].removeprefix("Value error, ")
        usage_error(cls.prog, f"--{field}: {message}" if field else message)


def usage_error(prog: str, sentence: str) -> NoReturn:
    """Tell the user what to mend and exit with status 2."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)
