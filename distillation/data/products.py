"""Products made of the terms of `distillation.data.retail_terms`, and titles of them as shops write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from distillation.data.draws import chance, pick, some
from distillation.data.measures import Measure
from distillation.data.retail_terms import (
    BEDS,
    COLOURS,
    FLAVOURS,
    SCENTS,
    SHADES,
    WEARERS,
    Field,
    ProductType,
    excluded_by,
    plural,
    product_types,
    retail_fields,
    same_colour,
    suits,
)

_SERIES: Final = (
    "Pro",
    "Plus",
    "Elite",
    "Classic",
    "Max",
    "Ultra",
    "Air",
    "Prime",
    "Essential",
    "Sport",
    "Select",
    "Neo",
)
REMARKS: Final = (
    *("with storage", "lightweight", "adjustable", "durable", "premium quality", "heavy duty", "easy to clean"),
    *(
        "for home and office",
        "for indoor and outdoor use",
        "multi purpose",
        "for travel",
        "modern design",
        "professional",
    ),
    *(
        "upgraded",
        "comfortable",
        "perfect gift",
        "value pack",
        "portable",
        "compact",
        "soft",
        "non slip",
        "long lasting",
    ),
    *("everyday", "original", "deluxe", "limited edition", "bundle", "casual", "vintage", "stylish", "easy assembly"),
    *("packaging may vary", "made in usa", "with gift box", "fits most", "all purpose", "best seller", "for bedroom"),
)
_LISTS: Final = {"COLOUR": COLOURS, "SCENT": SCENTS, "FLAVOUR": FLAVOURS, "BED": BEDS}


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value and its kind: one of the lists of the terms, or a plain attribute."""

    kind: str
    value: str

    def other(self, rng: np.random.Generator) -> Attribute | None:
        """Draw an attribute that a product with this one has not; None if none is known."""
        if self.kind == "GENDER":
            options = [w for w in WEARERS if not suits(self.value, w) and w not in ("adults", "unisex")]
        elif self.kind == "COLOUR":
            mine = same_colour(self.value)
            options = [colour for colour in COLOURS if not mine & same_colour(colour)]
        elif self.kind in _LISTS:
            options = [value for value in _LISTS[self.kind] if value != self.value]
        else:
            options = excluded_by(self.value)
        return Attribute(self.kind, pick(rng, options)) if options else None

    def text(self, rng: np.random.Generator, *, in_title: bool) -> str:
        """Return one of the forms in which the attribute is written."""
        if self.kind == "GENDER":
            return pick(rng, WEARERS[self.value])
        if in_title and self.value in SHADES and chance(rng, 0.25):
            return pick(rng, SHADES[self.value])
        return self.value


@dataclass(frozen=True, slots=True)
class Product:
    """A product: its type, its brand and measure if it has them, and its attributes."""

    kind: ProductType
    brand: str | None
    attributes: tuple[Attribute, ...]
    measure: Measure | None

    @staticmethod
    def draw(rng: np.random.Generator) -> Product:
        """Draw a product of any field."""
        kind = pick(rng, product_types() if chance(rng, 0.5) else pick(rng, retail_fields()).types)
        field = kind.field
        attributes: dict[str, Attribute] = {}
        for _ in range(int(rng.integers(0, 4))):
            drawn = _draw(field, rng)
            if not any(drawn.value in excluded_by(known.value) for known in attributes.values()):
                attributes.setdefault(drawn.kind if drawn.kind != "" else drawn.value, drawn)
        brand = pick(rng, field.brands) if chance(rng, 0.7) else None
        measure = Measure.draw(field.measure, rng) if chance(rng, 0.55) else None
        return Product(kind, brand, tuple(attributes.values()), measure)

    def title(self, rng: np.random.Generator, *extra: str) -> str:
        """Compose a title that states everything, under one of the names of the product."""
        name = pick(rng, self.kind.names)
        stated = [attribute.text(rng, in_title=True) for attribute in self.attributes]
        before = some(rng, [text for text in stated if not text.startswith("for ")], len(stated))
        cut = int(rng.integers(0, len(before) + 1))
        start = [self.brand] if self.brand else []
        start += [pick(rng, _SERIES)] if chance(rng, 0.25) else []
        start += [f"{pick(rng, 'ABCDEFGHKLMSTX')}{rng.integers(10, 9999)}"] if chance(rng, 0.12) else []
        start += [*before[:cut], plural(name) if chance(rng, 0.2) else name]
        rest = [*before[cut:], *(text for text in stated if text.startswith("for ")), *extra]
        rest += [self.measure.text(rng)] if self.measure is not None else []
        rest += some(rng, REMARKS, int(rng.integers(0, 4)))
        separator = pick(rng, (", ", ", ", " - ", " ", " | "))
        text = " ".join(start)
        for part in some(rng, rest, len(rest)):
            text += f"{' ' if part.startswith(('for ', 'with ')) else separator}{part}"
        return title_case(text) if chance(rng, 0.8) else text.lower()


def _draw(field: Field, rng: np.random.Generator) -> Attribute:
    name = pick(rng, field.attributes)
    if name == "GENDER":
        return Attribute(name, pick(rng, ("men", "women", "boys", "girls", "kids", "toddler")))
    return Attribute(name, pick(rng, _LISTS[name])) if name in _LISTS else Attribute("", name)


def title_case(text: str) -> str:
    """Return the words of a text with capitals, as titles have; words with digits or capitals are left as they are."""
    words = text.split()
    kept = (any(c.isdigit() or c.isupper() for c in word) for word in words)
    return " ".join(word if keep else word[:1].upper() + word[1:] for word, keep in zip(words, kept, strict=True))
