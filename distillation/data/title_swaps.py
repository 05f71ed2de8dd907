"""Contrast pairs of real titles: a short query made from a title, and the same title with one thing exchanged.

The thing is one that the query asks for: a number, a model code, a colour, the wearer, a material, or the brand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from distillation.data.contrast_pairs import RELEVANT, ContrastPair
from distillation.data.draws import chance, pick, some
from distillation.data.perturbations import Lexicon, misspell
from distillation.data.products import title_case
from distillation.data.quantities import UNITS
from distillation.data.retail_terms import (
    COLOURS,
    EXCLUSIVE,
    WEARERS,
    ProductType,
    excluded_by,
    plural,
    product_types,
    same_colour,
    suits,
)

_SEGMENT_END: Final = re.compile(r"\s[-\N{EN DASH}|]\s|[,(]|\swith\s|\sfor\s")
_NUMBER: Final = re.compile(r"\d+(?:[.,/x-]\d+)*(?:-?[a-z]{1,5})?")
_CODE: Final = re.compile(r"(?=.*\d)(?=.*[a-z])[a-z0-9./-]{3,}")
_DIGITS: Final = re.compile(r"\d+")
_EDGES: Final = ".,:;!?()[]\"'"
_WEARER_OF: Final = {form: wearer for wearer, forms in WEARERS.items() for form in forms if " " not in form}
_COLOURS: Final = frozenset(COLOURS) - {"clear", "mint", "gold", "tan"}
_ATTRIBUTES: Final = frozenset(word for words in EXCLUSIVE for word in words if " " not in word) - {
    "full",
    "new",
    "left",
}
_NAMED: Final = {
    form: kind for kind in reversed(product_types()) for name in kind.names for form in (name, plural(name))
}
# The relevance of a title with another thing of this kind, and the share of queries that ask for it.
_TARGETS: Final = {"number": 0.08, "code": 0.07, "colour": 0.12, "wearer": 0.06, "attribute": 0.12, "brand": 0.1}
_ASKED: Final = {"number": 0.35, "code": 0.5, "colour": 0.35, "wearer": 0.6, "attribute": 0.4}
_VALUES: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 32, 50, 64, 100, 128, 256, 500)
_ACCESSORY: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Title:
    text: str
    words: tuple[str, ...]
    # The words without capitals and punctuation.
    plain: tuple[str, ...]
    name: str
    kind: ProductType

    @staticmethod
    def read(text: str) -> _Title | None:
        """Return the title, or None if its first segment names no product type."""
        words = text.split()
        plain = tuple(word.strip(_EDGES).lower() for word in words)
        segment = [word.strip(_EDGES) for word in _SEGMENT_END.split(text.lower(), maxsplit=1)[0].split()]
        for length in (3, 2, 1):
            for start in range(len(segment) - length, -1, -1):
                name = " ".join(segment[start : start + length])
                if name in _NAMED and len(name) > 2:
                    return _Title(text, tuple(words), plain, name, _NAMED[name])
        return None

    def places(self, kind: str) -> list[int]:
        """Return the positions of words of this kind, the first word apart: it is the brand."""
        tests = {
            "number": lambda word: _NUMBER.fullmatch(word) is not None and _unit_of(word) is not None,
            "code": lambda word: _CODE.fullmatch(word) is not None and _unit_of(word) is None,
            "colour": _COLOURS.__contains__,
            "wearer": _WEARER_OF.__contains__,
            "attribute": _ATTRIBUTES.__contains__,
        }
        return [place for place, word in enumerate(self.plain) if place and tests[kind](word)]

    def exchanged(self, place: int, other: str) -> str:
        """Return the title with another word in this position, in its capitals and punctuation."""
        old, word = self.words[place], self.plain[place]
        new = other.title() if old.strip(_EDGES)[:1].isupper() and other.isalpha() else other
        start = old.lower().find(word)
        changed = old[:start] + new + old[start + len(word) :]
        return " ".join([*self.words[:place], changed, *self.words[place + 1 :]])


def swapped_pairs(titles: Sequence[str], count: int, rng: np.random.Generator) -> list[ContrastPair]:
    """Make `count` pairs of the titles that name a product type; fewer if they do not give so many."""
    brands = Lexicon.of(titles).brands
    readable = [title for title in map(_Title.read, titles) if title is not None]
    pairs: list[ContrastPair] = []
    # A title gives two or three pairs.
    for _ in range(count if readable else 0):
        if len(pairs) >= count:
            break
        pairs += _of_title(pick(rng, readable), readable, brands, rng)
    return pairs[:count]


def _of_title(
    title: _Title, others: Sequence[_Title], brands: frozenset[str], rng: np.random.Generator
) -> list[ContrastPair]:
    found = {kind: title.places(kind) for kind in _ASKED}
    kinds = [kind for kind, share in _ASKED.items() if found[kind] and chance(rng, share)][:2]
    asked = {kind: pick(rng, found[kind]) for kind in kinds}
    if title.plain[0] in brands and chance(rng, 0.6):
        asked["brand"] = 0
    query = _query(title, asked, rng)
    pairs = [ContrastPair(query, title.text, RELEVANT, "title")]
    for kind in some(rng, [*asked, "other title", "accessory"], 2):
        if kind == "other title":
            other = pick(rng, others)
            if not set(other.plain) & set(query.split()) and not other.kind.is_related(title.kind):
                pairs.append(ContrastPair(query, other.text, 0.01, kind))
        elif kind == "accessory":
            pairs += _accessory(title, rng)
        else:
            word = _other_word(kind, title.plain[asked[kind]], brands, rng)
            changed = title.exchanged(asked[kind], word) if word is not None else title.text
            # The title may state the same thing twice.
            if title.plain[asked[kind]] not in changed.lower():
                pairs.append(ContrastPair(query, changed, _TARGETS[kind], f"other {kind}"))
    return pairs


def _query(title: _Title, asked: dict[str, int], rng: np.random.Generator) -> str:
    name = pick(rng, title.kind.names) if chance(rng, 0.35) else title.name
    text = {kind: title.plain[place] for kind, place in asked.items()}
    if "number" in asked:
        following = title.plain[asked["number"] + 1 : asked["number"] + 2]
        text["number"] = " ".join([text["number"], *(word for word in following if word in UNITS)])
    order = ("wearer", "brand", "code", "colour", "attribute")
    words = [text[kind] for kind in order if kind in text and text[kind] not in name.split()]
    words.append(plural(name) if chance(rng, 0.2) else name)
    if "number" in text:
        words.insert(0 if chance(rng, 0.4) else len(words), text["number"])
    query = " ".join(words)
    return (misspell(query, rng) if chance(rng, 0.1) else None) or query


def _accessory(title: _Title, rng: np.random.Generator) -> list[ContrastPair]:
    if not title.kind.accessories:
        return []
    accessory = pick(rng, title.kind.accessories)
    if chance(rng, 0.5):
        owner = " ".join(title.words[: int(rng.integers(2, 8))])
        return [ContrastPair(title.name, f"{title_case(accessory)} for {owner}", _ACCESSORY, "accessory sold")]
    if accessory.split()[-1].removesuffix("s") in title.text.lower():
        return []
    asked = accessory if title.name.split()[-1] in accessory else f"{title.name} {accessory}"
    return [ContrastPair(asked, title.text, _ACCESSORY, "accessory asked")]


def _other_word(kind: str, word: str, brands: frozenset[str], rng: np.random.Generator) -> str | None:
    if kind in {"number", "code"}:
        return _other_digits(word, rng)
    options: list[str] = []
    if kind == "colour":
        options = [other for other in COLOURS if not same_colour(other) & same_colour(word)]
    elif kind == "wearer":
        wearers = [other for other in WEARERS if not suits(_WEARER_OF[word], other) and other != "unisex"]
        options = [form for other in wearers for form in WEARERS[other] if " " not in form]
    elif kind == "attribute":
        options = [other for other in excluded_by(word) if " " not in other]
    else:
        options = sorted(brands - {word})
    return pick(rng, options) if options else None


def _other_digits(word: str, rng: np.random.Generator) -> str | None:
    """Return the word with another number in place of its first: a near or common one, or one digit changed."""
    found = _DIGITS.search(word)
    if found is None:
        return None
    digits = found.group()
    if len(digits) <= 3:
        value = int(digits)
        near = [other for other in (2 * value, value // 2, value + 1, value - 1, value + 2, *_VALUES) if other > 0]
        other = str(pick(rng, [option for option in near if option != value]))
    else:
        place = int(rng.integers(len(digits)))
        other = digits[:place] + pick(rng, [d for d in "0123456789" if d != digits[place]]) + digits[place + 1 :]
    return word[: found.start()] + other + word[found.end() :]


def _unit_of(word: str) -> str | None:
    """Return the unit written after a number, "" if there is none, None if what follows is no unit."""
    unit = word.lstrip("0123456789.,/x-")
    return unit if not unit or unit in UNITS else None
