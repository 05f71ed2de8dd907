"""Exact signals of a pair, which a language model blurs: the words, numbers and attributes of the query in the title.

The trees of the teacher read them beside the frozen encoder's vectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from distillation.data.quantities import missing_quantities, shop_words
from distillation.data.retail_terms import (
    COLOURS,
    EXCLUSIVE,
    SHADES,
    WEARERS,
    ProductType,
    product_types,
    same_colour,
    singular,
    suits,
)
from distillation.data.word_coverage import ShopText, coverage
from evaluation.query_text import words_of

Floats = npt.NDArray[np.float32]
WORD_SIGNALS: Final = 55

_FUNCTION_WORDS: Final = frozenset(
    (
        "for",
        "with",
        "the",
        "a",
        "an",
        "of",
        "and",
        "in",
        "to",
        "on",
        "or",
        "by",
        "from",
        "without",
        "no",
        "not",
        "at",
        "is",
    )
)
_ACCESSORIES: Final = frozenset(
    word for kind in product_types() for name in kind.accessories for word in words_of(name)[-1:]
) | frozenset(("accessory", "part", "spare", "replacement", "compatible", "refill", "warranty", "kit", "manual"))
_NOT_COLOURS: Final = frozenset(("clear", "mint", "rose", "sand", "walnut"))
_COLOURS: Final = (
    frozenset((*COLOURS, *(shade for shades in SHADES.values() for shade in shades if " " not in shade))) - _NOT_COLOURS
)
_WEARER_OF: Final = {form: wearer for wearer, forms in WEARERS.items() for form in forms if " " not in form}
_SIZE_OF: Final = {
    "small": "S",
    "mini": "S",
    "medium": "M",
    "large": "L",
    "xl": "XL",
    "xxl": "XXL",
    "2xl": "XXL",
    **{size: size for size in ("twin", "full", "queen", "king")},
}
_ATTRIBUTES: Final = [frozenset(word for word in words if " " not in word) for words in EXCLUSIVE]
_NEGATED: Final = re.compile(
    r"\b(?:without|no|non|not|w/o)\s+(\w+)|\b(\w+)[ -]free\b|\bun(scented|sweetened|flavored)\b"
)
_NOT_NEGATED: Final = frozenset(("hand", "duty", "the", "a", "more", "slip", "stick", "toxic"))
# What follows one of these says what the product is for, or what comes with it.
_PURPOSE: Final = re.compile(r"\s(?:for|compatible|fits|fit|replacement)\s")
_HEAD_END: Final = re.compile(r"\s(?:for|with|without|no)\s")
_SEGMENT_END: Final = re.compile(r"\s[-\N{EN DASH}|]\s|[,(]|\swith\s|\sfor\s|\scompatible\s|\sfits\s")
_NAMED: Final[dict[tuple[str, ...], list[ProductType]]] = {}
for _kind in product_types():
    for _name in _kind.names:
        _NAMED.setdefault(tuple(singular(word) for word in _name.split()), []).append(_kind)


def word_signals(queries: Sequence[str], titles: Sequence[str], idf: Callable[[str], float]) -> Floats:
    """Return the signals of each pair, float32 [N, 55]; `idf` gives the inverse document frequency of a word."""
    rows = np.zeros((len(queries), WORD_SIGNALS), dtype=np.float32)
    for row, (query, title) in enumerate(zip(queries, titles, strict=True)):
        asked, offered = ShopText.of(query), ShopText.of(title)
        content = [word for word in asked.stems if word not in _FUNCTION_WORDS] or [*asked.stems, ""][:1]
        exact, tolerant, synonym = coverage(content, offered)
        weight = {word: idf(word) for word in exact}
        rows[row] = [
            *_shares(exact, tolerant, synonym, weight),
            *_numbers(query, title, exact, offered),
            *_positions(query, title, content, exact=exact, tolerant=tolerant, offered=offered),
            *_accessories(title, asked, exact, offered),
            *_attributes(asked, offered),
            *_negations(query, title, exact, offered),
            *_types(query, title),
            *_forms(query, title, asked, offered, weight),
        ]
    return rows


def _shares(
    exact: Mapping[str, bool], tolerant: Mapping[str, bool], synonym: Mapping[str, bool], weight: Mapping[str, float]
) -> list[float]:
    """Covered words, by count and by weight; the weights of missing words; the share of letters in covered words."""
    total = sum(weight.values()) or 1.0
    missing = [weight[word] for word in exact if not tolerant[word]]
    values: list[float] = []
    for covered in (exact, tolerant, synonym):
        values += [sum(covered.values()) / len(covered), sum(weight[word] for word in covered if covered[word]) / total]
    letters = sum(len(word) for word in exact)
    seen = sum(len(word) for word in exact if tolerant[word])
    return [*values, max(missing, default=0.0), min(missing, default=0.0), len(missing), seen / max(1, letters)]


def _numbers(query: str, title: str, exact: Mapping[str, bool], offered: ShopText) -> list[float]:
    """Words with digits, model codes and quantities that the query has and the title lacks."""
    numbers = [word for word in exact if any(character.isdigit() for character in word)]
    codes = [word for word in numbers if len(word) > 2 and any(character.isalpha() for character in word)]
    lacking = [word for word in codes if not any(word in other for other in offered.all | offered.joined)]
    missing, other_value = missing_quantities(query, title)
    without = sum(not exact[word] for word in numbers)
    return [len(numbers), without, len(codes), len(lacking), missing, other_value]


def _positions(
    query: str,
    title: str,
    content: Sequence[str],
    *,
    exact: Mapping[str, bool],
    tolerant: Mapping[str, bool],
    offered: ShopText,
) -> list[float]:
    """First, last and head word of the query: whether the title has them, and where."""
    head_words = [singular(word) for word in shop_words(_HEAD_END.split(f" {query.lower()} ", maxsplit=1)[0])]
    named = [word for word in head_words if word not in _FUNCTION_WORDS] or list(content)
    nouns = [w for w in named if not w[:1].isdigit() and w not in _COLOURS and w not in _WEARER_OF] or named
    head = nouns[-1]
    where = [place for place, word in enumerate(offered.stems) if word == head]
    length = max(1, len(offered.stems))
    segment = ShopText.of(_SEGMENT_END.split(title, maxsplit=1)[0])
    shared = [offered.stems.index(word) for word in exact if word in offered.all]
    return [
        *(float(covered[word]) for word in (content[0], content[-1]) for covered in (exact, tolerant)),
        float(head in offered.all),
        float(tolerant.get(head, head in offered.all)),
        float(head in segment.all),
        where[-1] / length if where else 1.5,
        where[0] / length if where else 1.5,
        min(shared) / length if shared else 1.5,
    ]


def _accessories(title: str, asked: ShopText, exact: Mapping[str, bool], offered: ShopText) -> list[float]:
    """Whether the title is for what the query asks, and words for accessories on one side only."""
    low = f" {title.lower()} "
    purpose = _PURPOSE.search(low)
    start = len(shop_words(low[: purpose.start()])) if purpose is not None else len(offered.stems) + 1
    after = [word for word in exact if word in offered.all and offered.stems.index(word) >= start]
    segment = ShopText.of(_SEGMENT_END.split(title, maxsplit=1)[0])
    only_title = (segment.all & _ACCESSORIES) - asked.all
    only_query = (asked.all & _ACCESSORIES) - offered.all
    return [len(after) / len(exact), float(purpose is not None), len(only_title), len(only_query)]


def _attributes(asked: ShopText, offered: ShopText) -> list[float]:
    """Wearer, colour, size and other attributes: asked for, contradicted, not stated."""
    wearers = {_WEARER_OF[word] for word in asked.words if word in _WEARER_OF} - {"unisex"}
    stated = {_WEARER_OF[word] for word in offered.words if word in _WEARER_OF}
    fits = any(suits(one, other) for one in wearers for other in stated)
    colours, shown = set(asked.words) & _COLOURS, set(offered.words) & _COLOURS
    matched = all(same_colour(colour) & shown for colour in colours)
    sizes = {_SIZE_OF[word] for word in asked.words if word in _SIZE_OF}
    given = {_SIZE_OF[word] for word in offered.words if word in _SIZE_OF}
    excluded = sum(
        word not in offered.all and bool(words & offered.all)
        for words in _ATTRIBUTES
        for word in asked.stems
        if word in words
    )
    return [
        *_conflict(bool(wearers), bool(stated), fits),
        *_conflict(bool(colours), bool(shown), matched),
        *_conflict(bool(sizes), bool(given), bool(sizes & given)),
        float(excluded),
    ]


def _conflict(asked: bool, stated: bool, agrees: bool) -> list[float]:
    return [float(asked), float(asked and stated and not agrees), float(asked and not stated)]


def _negations(query: str, title: str, exact: Mapping[str, bool], offered: ShopText) -> list[float]:
    """Exclusions: of the query and violated by the title, of both, and of the title alone."""
    unwanted, absent = _negated(query), _negated(title)
    violated = sum(word in offered.all and word not in absent for word in unwanted)
    lacking = sum(word in absent and word not in unwanted for word in exact)
    return [float(bool(unwanted)), violated, len(unwanted & absent), lacking]


@lru_cache(maxsize=1 << 17)
def _negated(text: str) -> AbstractSet[str]:
    found = (next(filter(None, groups)) for groups in _NEGATED.findall(text.lower()))
    return frozenset(singular(word) for word in found) - _NOT_NEGATED


def _types(query: str, title: str) -> list[float]:
    """How the product types of both are related: -1 unknown, 0 other field, 1 same field, 2 broader, 3 the same."""
    wanted = _types_named(_HEAD_END.split(query.lower(), maxsplit=1)[0])
    sold = _types_named(_SEGMENT_END.split(title.lower(), maxsplit=1)[0])
    pairs = [(one, other) for one in wanted for other in sold]
    relation = max(
        (3 if a is b else 2 if a.is_related(b) else 1 if a.field is b.field else 0 for a, b in pairs), default=-1
    )
    return [relation, float(bool(wanted)), float(bool(sold))]


@lru_cache(maxsize=1 << 17)
def _types_named(text: str) -> tuple[ProductType, ...]:
    """Return the product types that the last known name in the text stands for."""
    stems = ShopText.of(text).stems
    for end in range(len(stems), 0, -1):
        for length in (3, 2, 1):
            if end >= length and stems[end - length : end] in _NAMED:
                return tuple(_NAMED[stems[end - length : end]])
    return ()


def _forms(query: str, title: str, asked: ShopText, offered: ShopText, weight: Mapping[str, float]) -> list[float]:
    """Letters and adjacent words in common, lengths, scripts, and the mean weight of the query's words."""
    grams, others = _grams(asked.stems), _grams(offered.stems)
    together = list(pairwise(asked.stems))
    titles = set(pairwise(offered.stems))
    common = len(grams & others)
    return [
        common / max(1, len(grams)),
        common / max(1, len(grams | others)),
        sum(pair in titles for pair in together) / max(1, len(together)),
        len(weight),
        len(offered.stems),
        _latin_share(query),
        _latin_share(title),
        sum(weight.values()) / len(weight),
    ]


@lru_cache(maxsize=1 << 17)
def _grams(stems: tuple[str, ...]) -> AbstractSet[str]:
    text = f" {' '.join(stems)} "
    return frozenset(text[i : i + 3] for i in range(len(text) - 2))


def _latin_share(text: str) -> float:
    letters = [letter for letter in text if letter.isalpha()]
    return sum(ord(letter) < 0x250 for letter in letters) / len(letters) if letters else 1.0
