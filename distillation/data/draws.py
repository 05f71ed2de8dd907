"""Draws from a seeded generator: one of several options, and an event of a given probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of `options`, each with the same probability."""
    return options[int(rng.integers(len(options)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return true with this probability."""
    return bool(rng.random() < probability)


def some(rng: np.random.Generator, options: Sequence[T], count: int) -> list[T]:
    """Return at most `count` of `options`, in random order."""
    return [options[i] for i in rng.permutation(len(options))[:count].tolist()]
