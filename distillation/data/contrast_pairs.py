"""Contrast pairs: a query, a title that fits it, and titles that differ from that one in a single respect.

A model learns from them what decides: a number, a size, a colour, a brand, the wearer, an accessory instead of the
product, an excluded ingredient. Titles are composed of the terms of `distillation.data.retail_terms`; their labels
follow from the rule that made them, after the idea of contrast sets (Gardner et al., 2020, arXiv 2004.02709).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distillation.data.draws import chance, pick, some
from distillation.data.perturbations import misspell, reorder
from distillation.data.products import REMARKS, Product, title_case
from distillation.data.retail_terms import ProductType, plural, product_types

# The probabilities of relevance that the rules give.
RELEVANT: Final = 0.95
_UNSTATED: Final = 0.5
_OTHER_COLOUR: Final = 0.12
_OTHER_VALUE: Final = 0.08
_OTHER_TYPE: Final = 0.03
_ACCESSORY: Final = 0.05
_RANDOM: Final = 0.01

# What products of a field may be without.
_EXCLUDABLE: Final = {
    "clothing": ("pockets", "zipper", "buttons", "hood"),
    "shoes": ("laces", "heel"),
    "bags": ("wheels", "strap"),
    "beauty": ("sulfates", "parabens", "fragrance", "alcohol", "silicone"),
    "health": ("sugar", "gluten", "gelatin", "dairy"),
    "grocery": ("sugar", "gluten", "caffeine", "nuts", "dairy", "salt"),
    "furniture": ("arms", "wheels", "drawers"),
    "kitchen": ("lid", "handle", "bpa", "teflon"),
    "pets": ("grain", "chicken", "corn"),
    "phone accessories": ("glitter",),
    "cleaning and household": ("fragrance", "dye", "bleach"),
    "toys and games": ("batteries", "sound"),
    "jewelry and watches": ("nickel", "stones"),
    "baby": ("fragrance", "latex", "wheels"),
}
_FREE_OF: Final = frozenset(
    [
        "sugar",
        "gluten",
        "caffeine",
        "dairy",
        "fragrance",
        "sulfate",
        "paraben",
        "bpa",
        "alcohol",
        "grain",
        "nickel",
        "latex",
        "bleach",
        "dye",
        "silicone",
    ]
)


@dataclass(frozen=True, slots=True)
class ContrastPair:
    """A pair with its probability of relevance by rule, and the kind of its contrast."""

    query: str
    title: str
    target: float
    kind: str


def made_pairs(count: int, rng: np.random.Generator) -> list[ContrastPair]:
    """Compose `count` pairs of products of all fields, each query with a fitting title and up to three contrasts."""
    pairs: list[ContrastPair] = []
    while len(pairs) < count:
        pairs += _contrasts(Product.draw(rng), rng)
    return pairs[:count]


def _contrasts(product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    asked = replace(
        product,
        brand=product.brand if chance(rng, 0.45) else None,
        attributes=tuple(attribute for attribute in product.attributes if chance(rng, 0.5))[:2],
        measure=product.measure if chance(rng, 0.45) else None,
    )
    query = _query(asked, _asked_name(product.kind, rng), rng)
    rules: list[Callable[[], list[ContrastPair]]] = [
        lambda: _other_type(query, product, rng),
        lambda: _other_type(query, product, rng),
        lambda: _accessory_sold(query, product, rng),
        lambda: _accessory_asked(product, rng),
        lambda: _broader(asked, product, rng),
        lambda: _excluded(asked, product, rng),
        lambda: [ContrastPair(query, Product.draw(rng).title(rng), _RANDOM, "random")],
    ]
    if asked.attributes:
        rules += [lambda: _other_attribute(query, asked, product, rng)] * 3
    if asked.measure is not None:
        rules += [lambda: _other_measure(query, product, rng)] * 2
    if asked.brand is not None:
        rules += [lambda: _other_brand(query, product, rng)] * 2
    pairs = [ContrastPair(query, product.title(rng), RELEVANT, "fitting")]
    for rule in some(rng, rules, 3):
        pairs += rule()
    return [replace(pair, query=_as_typed(pair.query, rng)) for pair in pairs]


def _query(asked: Product, name: str, rng: np.random.Generator) -> str:
    stated = [attribute.text(rng, in_title=False) for attribute in asked.attributes]
    words = [*some(rng, [text for text in stated if not text.startswith("for ")], len(stated)), name]
    if asked.brand is not None:
        words.insert(0 if chance(rng, 0.85) else len(words), asked.brand.lower())
    if asked.measure is not None:
        words.insert(0 if chance(rng, 0.5) else len(words), asked.measure.text(rng, in_query=True))
    return " ".join([*words, *(text for text in stated if text.startswith("for "))])


def _asked_name(kind: ProductType, rng: np.random.Generator) -> str:
    name = kind.names[0] if chance(rng, 0.5) else pick(rng, kind.names)
    return plural(name) if chance(rng, 0.25) else name


def _other_attribute(query: str, asked: Product, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    attribute = pick(rng, asked.attributes)
    rest = tuple(each for each in product.attributes if each is not attribute)
    other = attribute.other(rng)
    if other is None or chance(rng, 0.3):
        unstated = replace(product, attributes=rest)
        return [ContrastPair(query, unstated.title(rng), _UNSTATED, "attribute not stated")]
    target = _OTHER_COLOUR if attribute.kind == "COLOUR" else _OTHER_VALUE
    return [ContrastPair(query, replace(product, attributes=(*rest, other)).title(rng), target, "other attribute")]


def _other_measure(query: str, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    assert product.measure is not None
    if chance(rng, 0.3):
        return [ContrastPair(query, replace(product, measure=None).title(rng), _UNSTATED, "measure not stated")]
    other = replace(product, measure=product.measure.other(rng))
    return [ContrastPair(query, other.title(rng), _OTHER_VALUE, "other measure")]


def _other_brand(query: str, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    brands = [brand for brand in product.kind.field.brands if brand != product.brand]
    return [ContrastPair(query, replace(product, brand=pick(rng, brands)).title(rng), _OTHER_VALUE, "other brand")]


def _other_type(query: str, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    others = _unrelated(product.kind, product.kind.field.types)
    if not others:
        return []
    return [ContrastPair(query, replace(product, kind=pick(rng, others)).title(rng), _OTHER_TYPE, "other type")]


def _accessory_sold(query: str, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    if not product.kind.accessories:
        return []
    accessory, name = pick(rng, product.kind.accessories), pick(rng, product.kind.names)
    owner = f"{product.brand} {name}" if product.brand else name
    forms = (f"{accessory} for {owner}", f"{accessory} compatible with {owner}", f"replacement {accessory} for {owner}")
    measured = f", {product.measure.text(rng)}" if product.measure is not None and chance(rng, 0.5) else ""
    return [ContrastPair(query, title_case(pick(rng, forms) + measured), _ACCESSORY, "accessory sold")]


def _accessory_asked(product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    if not product.kind.accessories:
        return []
    accessory, name = pick(rng, product.kind.accessories), pick(rng, product.kind.names)
    named = (
        accessory if name.split()[-1] in accessory else pick(rng, (f"{name} {accessory}", f"{accessory} for {name}"))
    )
    fitting = title_case(f"{accessory} for {product.brand or ''} {name}, {pick(rng, REMARKS)}")
    others = [other for kind in product.kind.field.types for other in kind.accessories]
    others = [other for other in others if other not in product.kind.accessories]
    pairs = [
        ContrastPair(named, fitting, RELEVANT, "accessory fitting"),
        ContrastPair(named, product.title(rng), _ACCESSORY, "accessory asked"),
    ]
    if others:
        other = title_case(f"{pick(rng, others)} for {product.brand or ''} {name}")
        pairs.append(ContrastPair(named, other, _ACCESSORY, "other accessory"))
    return pairs


def _broader(asked: Product, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    if not product.kind.broader:
        return []
    term = pick(rng, product.kind.broader)
    query = term if chance(rng, 0.4) else _query(asked, term, rng)
    # Types of another field: the broader terms of a type are not complete.
    others = [kind for kind in product_types() if kind.field is not product.kind.field and term not in kind.broader]
    pairs = [ContrastPair(query, product.title(rng), 0.88, "broader fitting")]
    other = replace(product, kind=pick(rng, others))
    return [*pairs, ContrastPair(query, other.title(rng), _OTHER_TYPE, "not of the broader kind")]


def _excluded(asked: Product, product: Product, rng: np.random.Generator) -> list[ContrastPair]:
    """Negation: in the query, in the title, or in both."""
    options = _EXCLUDABLE.get(product.kind.field.name)
    if options is None:
        return []
    thing = pick(rng, options)
    one = thing.removesuffix("s")
    free = one if one in _FREE_OF else thing if thing in _FREE_OF else None
    name = _query(replace(asked, measure=None), _asked_name(product.kind, rng), rng)
    without = [f"{name} without {thing}", f"{name} no {thing}", *([f"{free} free {name}"] if free else [])]
    lacking = product.title(rng, pick(rng, [f"no {thing}", f"without {thing}", *([f"{free}-free"] if free else [])]))
    having = product.title(rng, pick(rng, (f"with {thing}", f"with added {thing}", f"contains {thing}")))
    if chance(rng, 0.6):
        query = pick(rng, without)
        return [ContrastPair(query, lacking, RELEVANT, "excluded"), ContrastPair(query, having, 0.05, "not excluded")]
    query = f"{name} with {thing}"
    return [ContrastPair(query, having, RELEVANT, "included"), ContrastPair(query, lacking, 0.05, "not included")]


def _unrelated(kind: ProductType, types: Sequence[ProductType]) -> list[ProductType]:
    return [other for other in types if other is not kind and not other.is_related(kind)]


def _as_typed(query: str, rng: np.random.Generator) -> str:
    """Return the query as shoppers type it: now and then misspelt, or with a word moved."""
    draw = rng.random()
    changed = misspell(query, rng) if draw < 0.1 else reorder(query, rng) if draw < 0.14 else None
    return changed or query
