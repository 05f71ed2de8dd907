"""Small changes to texts, as people and catalogues make them: misspelt, dropped, moved and exchanged words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: [row[i] for i in (place - 1, place + 1) if 0 <= i < len(row)] for row in _ROWS for place, key in enumerate(row)
}
_NUMBER: Final = re.compile(r"^\d+([.,/x-]\d+)*$")
_MODEL: Final = re.compile(r"^(?=.*\d)(?=.*[a-z])[a-z0-9./-]{3,}$")
_BRAND: Final = re.compile(r"^[a-z][a-z&'-]+$")
_BRAND_TIMES: Final = 5
_SHORTEST_MISSPELT: Final = 4


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of three kinds that can stand for each other: brands, models and numbers."""

    kinds: tuple[tuple[str, ...], ...]
    brands: frozenset[str]

    @staticmethod
    def of(titles: Sequence[str]) -> Lexicon:
        """Gather a lexicon: a brand is a word that titles often begin with, a model mixes letters and digits."""
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
        """Return the words that could stand in the place of `word`; none if it is an ordinary word."""
        if _NUMBER.match(word):
            return self.kinds[2]
        if _MODEL.match(word):
            return self.kinds[1]
        return self.kinds[0] if word in self.brands else ()


def misspell(text: str, rng: np.random.Generator) -> str | None:
    """Misspell one word of four letters or more: a letter lost, doubled, exchanged or struck beside its key."""
    words = text.split()
    long = [place for place, word in enumerate(words) if len(word) >= _SHORTEST_MISSPELT and word.isalpha()]
    if not long:
        return None
    place = long[int(rng.integers(len(long)))]
    word = words[place]
    at = int(rng.integers(1, len(word) - 1))
    turn = int(rng.integers(4))
    if turn == 0:
        word = word[:at] + word[at + 1 :]
    elif turn == 1:
        word = word[:at] + word[at] + word[at:]
    elif turn == 2:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        keys = _NEIGHBOURS.get(word[at].lower(), [word[at]])
        word = word[:at] + keys[int(rng.integers(len(keys)))] + word[at + 1 :]
    words[place] = word
    return _changed(text, words)


def drop_word(text: str, rng: np.random.Generator) -> str | None:
    """Leave out one of two or more words."""
    words = text.split()
    if len(words) < 2:
        return None
    del words[int(rng.integers(len(words)))]
    return _changed(text, words)


def reorder(text: str, rng: np.random.Generator) -> str | None:
    """Move one word to another place."""
    words = text.split()
    if len(words) < 2:
        return None
    word = words.pop(int(rng.integers(len(words))))
    words.insert(int(rng.integers(len(words) + 1)), word)
    return _changed(text, words)


def exchange(text: str, other: str, lexicon: Lexicon, rng: np.random.Generator) -> str | None:
    """Put another brand, model or number in the place of one; of words that `other` has too, if there are any."""
    words = text.lower().split()
    places = [place for place, word in enumerate(words) if lexicon.kind_of(word)]
    shared = [place for place in places if words[place] in other.lower().split()]
    places = shared or places
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    kind = lexicon.kind_of(words[place])
    kept = text.split()
    kept[place] = kind[int(rng.integers(len(kind)))]
    return None if kept[place].lower() == words[place] else " ".join(kept)


def _changed(text: str, words: Sequence[str]) -> str | None:
    edited = " ".join(words)
    return edited if edited != " ".join(text.split()) else None
