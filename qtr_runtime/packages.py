"""Where the project's packages lie, for the processes that import them."""

from __future__ import annotations

from pathlib import Path


def packages_root() -> Path:
    """Return the folder that holds the project's packages: a checkout, or `site-packages`."""
    return Path(__file__).resolve().parents[1]
