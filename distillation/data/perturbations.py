"""Perturbations of texts as shoppers and catalogues make them: misspelt, dropped, moved and exchanged words.

Each returns the changed text, or None if there is nothing to change.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: [row[i] for i in (column - 1, column + 1) if 0 <= i < len(row)]
    for row in _ROWS
    for column, key in enumerate(row)
}
_NUMBER: Final = re.compile(r"^\d+([.,/x-]\d+)*$")
_MODEL: Final = re.compile(r"^(?=.*\d)(?=.*[a-z])[a-z0-9./-]{3,}$")
_BRAND: Final = re.compile(r"^[a-z][a-z&'-]+$")
_BRAND_TIMES: Final = 5
_SHORTEST_MISSPELT: Final = 4


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of three kinds, each exchangeable within its kind: brands, models and numbers."""

    kinds: tuple[tuple[str, ...], ...]
    brands: frozenset[str]

    @staticmethod
    def of(titles: Sequence[str]) -> Lexicon:
        """Collect a lexicon: a brand is a word that five titles or more begin with, a model has letters and digits."""
        first: Counter[str] = Counter()
        models: dict[str, None] = {}
        numbers: dict[str, None] = {}
        for title in titles:
            words = title.lower().split()
            first.update(words[:1])
            models.update(dict.fromkeys(word for word in words if _MODEL.match(word)))
            numbers.update(dict.fromkeys(word for word in words if _NUMBER.match(word)))
        brands = tuple(word for word, times in first.items() if times >= _BRAND_TIMES and _BRAND.match(word))
        return Lexicon((brands, tuple(models), tuple(numbers)), frozenset(brands))

    def kind_of(self, word: str) -> tuple[str, ...]:
        """Return the words of the same kind as `word`; none if it is neither brand, model nor number."""
        if _NUMBER.match(word):
            return self.kinds[2]
        if _MODEL.match(word):
            return self.kinds[1]
        return self.kinds[0] if word in self.brands else ()


def misspell(text: str, rng: np.random.Generator) -> str | None:
    """Misspell one word of four letters or more: a letter dropped, doubled, transposed or replaced by a neighbour."""
    words = text.split()
    long = [position for position, word in enumerate(words) if len(word) >= _SHORTEST_MISSPELT and word.isalpha()]
    if not long:
        return None
    position = long[int(rng.integers(len(long)))]
    word = words[position]
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(4))
    if kind == 0:
        word = word[:at] + word[at + 1 :]
    elif kind == 1:
        word = word[:at] + word[at] + word[at:]
    elif kind == 2:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        keys = _NEIGHBOURS.get(word[at].lower(), [word[at]])
        word = word[:at] + keys[int(rng.integers(len(keys)))] + word[at + 1 :]
    words[position] = word
    return _changed(text, words)


def drop_word(text: str, rng: np.random.Generator) -> str | None:
    """Drop one of two or more words."""
    words = text.split()
    if len(words) < 2:
        return None
    del words[int(rng.integers(len(words)))]
    return _changed(text, words)


def reorder(text: str, rng: np.random.Generator) -> str | None:
    """Move one word to another position."""
    words = text.split()
    if len(words) < 2:
        return None
    word = words.pop(int(rng.integers(len(words))))
    words.insert(int(rng.integers(len(words) + 1)), word)
    return _changed(text, words)


def exchange(text: str, other: str, lexicon: Lexicon, rng: np.random.Generator) -> str | None:
    """Replace a brand, model or number by another of its kind, preferably one that `other` has as well."""
    words = text.lower().split()
    positions = [position for position, word in enumerate(words) if lexicon.kind_of(word)]
    shared = [position for position in positions if words[position] in other.lower().split()]
    positions = shared or positions
    if not positions:
        return None
    position = positions[int(rng.integers(len(positions)))]
    kind = lexicon.kind_of(words[position])
    kept = text.split()
    kept[position] = kind[int(rng.integers(len(kind)))]
    return None if kept[position].lower() == words[position] else " ".join(kept)


def _changed(text: str, words: Sequence[str]) -> str | None:
    changed = " ".join(words)
    return changed if changed != " ".join(text.split()) else None
