"""Python processes that our programs start; modules in the working folder are never imported by them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from qtr_runtime.settings import ENV_PREFIX

PACKAGES = Path(__file__).resolve().parents[1]
"""Folder of our packages: a checkout, or site-packages."""

_DEPENDENCIES = frozenset(
    {"google", "grpc", "numpy", "onnxruntime", "py4j", "pyarrow", "pydantic", "pydantic_settings", "pyspark", "rich"}
)

# They change how Python behaves, and are meant for interactive sessions.
_OF_A_SHELL = ("PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONWARNINGS")


def module_command(module: str, *flags: str) -> list[str]:
    """Return the command that runs one of our modules.

    With `-P` Python does not import from the working folder: a file `queue.py` or `grpc.py` there does not hide the
    module of that name.
    """
    return [sys.executable, "-P", "-m", module, *flags]


def module_path() -> str:
    """Return a `PYTHONPATH` that contains our packages.

    An empty entry, as in `PYTHONPATH=$PYTHONPATH:/more`, would mean the working folder and is dropped.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(PACKAGES), *filter(None, entries)])


def module_environment() -> dict[str, str]:
    """Return the environment for `module_command`.

    `QTR_…` variables are left out: they are settings of the program that the user started.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    for name in _OF_A_SHELL:
        kept.pop(name, None)
    return kept | {"PYTHONPATH": module_path()}


def stand_ins() -> list[Path]:
    """Return the files on `PYTHONPATH` that hide modules of Python or of our dependencies."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.environ.get("PYTHONPATH") else []
    found: list[Path] = []
    for folder in map(Path, folders):
        with suppress(OSError):
            names = sorted(path for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
            found += [path for path in names if path.stem in sys.stdlib_module_names | _DEPENDENCIES]
    return found


def stand_ins_sentence() -> str:
    """Return a sentence that names the files of `stand_ins`, or "" if there are none."""
    names = ", ".join(str(path) for path in stand_ins()[:3])
    return f"PYTHONPATH puts {names} in the place of modules that this program needs" if names else ""
