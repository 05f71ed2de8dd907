"""Python processes that a program of ours starts: none of them runs a module that lies in the working folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from qtr_runtime.settings import ENV_PREFIX

PACKAGES = Path(__file__).resolve().parents[1]
"""Folder that holds our packages: a checkout, or site-packages."""

_DEPENDENCIES = frozenset(
    {"google", "grpc", "numpy", "onnxruntime", "py4j", "pyarrow", "pydantic", "pydantic_settings", "pyspark", "rich"}
)

# They change how Python itself behaves, and are meant for sessions that a person types into.
_OF_A_SHELL = ("PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONWARNINGS")


def module_command(module: str, *flags: str) -> list[str]:
    """Return the command that runs a module of ours.

    With `-P` Python looks for modules in its own folders alone: a file `queue.py` or `grpc.py` where somebody
    happens to work is not taken for the module of that name.
    """
    return [sys.executable, "-P", "-m", module, *flags]


def module_path() -> str:
    """Return the `PYTHONPATH` with which our packages are found.

    An empty entry, as `PYTHONPATH=$PYTHONPATH:/more` leaves one, would mean the working folder and is dropped.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(PACKAGES), *filter(None, entries)])


def module_environment() -> dict[str, str]:
    """Return the environment for `module_command`.

    `QTR_…` variables stay behind: what they say is meant for the program that the user started.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    for name in _OF_A_SHELL:
        kept.pop(name, None)
    return kept | {"PYTHONPATH": module_path()}


def stand_ins() -> list[Path]:
    """Return what `PYTHONPATH` puts in the place of Python's own modules, or of those that we use."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.environ.get("PYTHONPATH") else []
    found: list[Path] = []
    for folder in map(Path, folders):
        with suppress(OSError):
            names = sorted(path for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
            found += [path for path in names if path.stem in sys.stdlib_module_names | _DEPENDENCIES]
    return found


def stand_ins_sentence() -> str:
    """Say which files `PYTHONPATH` puts in the place of modules that we need; empty if there are none."""
    names = ", ".join(str(path) for path in stand_ins()[:3])
    return f"PYTHONPATH puts {names} in the place of modules that this program needs" if names else ""
