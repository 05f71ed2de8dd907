"""Terms of retail: product types with their synonyms, broader terms and accessories, and words that exclude each other.

They are written by hand in `retail_terms.txt`, and tell what a few thousand judgements of one shop cannot: that a couch
is a sofa, that a charger is not the phone, and that a red dress is not a blue one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Final

COLOURS: Final = (
    "black",
    "white",
    "red",
    "blue",
    "navy",
    "green",
    "grey",
    "gray",
    "pink",
    "purple",
    "yellow",
    "orange",
    "brown",
    "beige",
    "teal",
    "gold",
    "silver",
    "ivory",
    "turquoise",
    "burgundy",
    "khaki",
    "tan",
    "charcoal",
    "lavender",
    "mint",
    "coral",
    "multicolor",
    "clear",
)
# Shades that a title may state for a colour.
SHADES: Final[Mapping[str, tuple[str, ...]]] = {
    "grey": ("gray", "charcoal", "graphite", "slate"),
    "gray": ("grey", "charcoal", "space gray"),
    "navy": ("navy blue", "midnight blue"),
    "blue": ("royal blue", "sky blue", "cobalt", "navy"),
    "red": ("crimson", "scarlet", "cherry red", "burgundy"),
    "green": ("emerald", "olive", "sage", "forest green"),
    "white": ("off white", "snow white", "ivory"),
    "beige": ("sand", "cream", "taupe"),
    "purple": ("violet", "lilac", "plum"),
    "brown": ("espresso", "walnut", "chestnut", "tan"),
    "pink": ("blush", "rose", "fuchsia"),
    "black": ("jet black", "matte black", "onyx"),
    "yellow": ("mustard", "lemon yellow"),
    "orange": ("tangerine", "burnt orange"),
}
WEARERS: Final[Mapping[str, tuple[str, ...]]] = {
    "men": ("men's", "mens", "men", "for men"),
    "women": ("women's", "womens", "women", "ladies", "for women"),
    "boys": ("boys'", "boys", "boy's", "for boys"),
    "girls": ("girls'", "girls", "girl's", "for girls"),
    "kids": ("kids", "kid's", "children's", "for kids", "youth", "child"),
    "toddler": ("toddler", "toddlers", "for toddlers"),
    "baby": ("baby", "infant", "newborn"),
    "adults": ("adult", "adults", "for adults"),
    "unisex": ("unisex",),
}
# A wearer that is asked for, and one that a title may state instead.
_SUITABLE: Final = frozenset(
    pair
    for asked, stated in (
        ("kids", ("boys", "girls", "unisex")),
        ("men", ("unisex",)),
        ("women", ("unisex",)),
        ("adults", ("men", "women", "unisex")),
        ("boys", ("kids",)),
        ("girls", ("kids",)),
    )
    for pair in ((asked, other) for other in stated)
)
SCENTS: Final = (
    "lavender",
    "vanilla",
    "coconut",
    "lemon",
    "rose",
    "citrus",
    "eucalyptus",
    "mint",
    "ocean breeze",
    "sandalwood",
    "cherry blossom",
    "jasmine",
    "pine",
    "cinnamon",
    "unscented",
)
FLAVOURS: Final = (
    "vanilla",
    "chocolate",
    "strawberry",
    "lemon",
    "cherry",
    "orange",
    "grape",
    "mint",
    "caramel",
    "peanut butter",
    "cinnamon",
    "apple",
    "berry",
    "mango",
    "coconut",
    "honey",
    "banana",
    "hazelnut",
    "chicken",
    "beef",
    "salmon",
    "cheddar",
    "bbq",
    "garlic",
    "sea salt",
    "original",
)
BEDS: Final = ("twin", "full", "queen", "king", "california king", "twin xl")
# A product has one attribute of each set.
EXCLUSIVE: Final = tuple(
    frozenset(words.split(","))
    for words in (
        "long sleeve,short sleeve,sleeveless",
        "leather,suede,canvas,mesh,velvet,linen,fabric",
        "wireless,wired",
        "cordless,corded",
        "electric,manual,gas",
        "indoor,outdoor",
        "left,right",
        "front,rear",
        "acoustic,electric",
        "stainless steel,cast iron,ceramic,glass,plastic,silicone,wooden,bamboo,copper,aluminum",
        "cotton,polyester,linen,wool,fleece,silk,microfiber,bamboo,satin",
        "wooden,metal,glass,plastic",
        "silver,gold,rose gold,stainless steel,titanium,leather",
        "striped,floral,plaid,solid",
        "organic,conventional",
        "decaf,caffeinated",
        "new,refurbished",
        "matte,glossy",
        "for dry skin,for oily skin",
        "large breed,small breed",
        "for puppies,for kittens,for senior dogs",
        "left handed,right handed",
        "freestanding,integrated,built in",
        "plus size,petite",
        "disposable,reusable",
        "gas,electric,charcoal",
        "synthetic,conventional",
        "wide width,narrow",
        "slim fit,loose fit,relaxed fit",
        "natural,artificial",
        "mechanical,membrane",
        "nylon,leather,canvas,polyester",
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of retail: its brands, the attributes of its products, the measure that titles state, and its types."""

    name: str
    brands: tuple[str, ...]
    attributes: tuple[str, ...]
    measure: str
    types: list[ProductType] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class ProductType:
    """What is sold: its names, the commonest first, its broader terms, and its accessories and parts."""

    names: tuple[str, ...]
    broader: tuple[str, ...]
    accessories: tuple[str, ...]
    field: Field

    def is_related(self, other: ProductType) -> bool:
        """Return whether the types share a name, or one is broader than the other."""
        names, others = {singular(name) for name in self.names}, {singular(name) for name in other.names}
        return bool(
            names & others
            or names & {singular(name) for name in other.broader}
            or others & {singular(name) for name in self.broader}
        )


@lru_cache(maxsize=1)
def retail_fields() -> tuple[Field, ...]:
    """Return the fields of `retail_terms.txt`."""
    text = resources.files("distillation.data").joinpath("retail_terms.txt").read_text(encoding="utf-8")
    fields: list[Field] = []
    for line in text.splitlines():
        if line.startswith("@"):
            name, brands, attributes, measure = (part.strip() for part in line[1:].split(";"))
            fields.append(Field(name, tuple(brands.split(",")), tuple(attributes.split(",")), measure))
        elif line and not line.startswith("#"):
            kinds, _, accessories = line.partition(";")
            names, _, broader = kinds.partition("<")
            fields[-1].types.append(
                ProductType(_listed(names, "|"), _listed(broader, ","), _listed(accessories, ","), fields[-1])
            )
    return tuple(fields)


def product_types() -> tuple[ProductType, ...]:
    """Return the product types of all fields."""
    return tuple(kind for each in retail_fields() for kind in each.types)


@lru_cache(maxsize=1)
def one_word_synonyms() -> Mapping[str, frozenset[str]]:
    """Return the other names of a product type that one word names, all in the singular."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind in product_types():
        words = {singular(name) for name in kind.names if " " not in name}
        for word in words:
            found[word] |= words - {word}
    return {word: frozenset(others) for word, others in found.items()}


def suits(asked: str, stated: str) -> bool:
    """Return whether a product for the wearer `stated` is one for the wearer `asked`.

    Examples
    --------
    >>> suits("kids", "girls"), suits("men", "women")
    (True, False)
    """
    return asked == stated or (asked, stated) in _SUITABLE


def same_colour(colour: str) -> frozenset[str]:
    """Return the colours and shades that a title may state for `colour`, itself included."""
    others = (name for name, shades in SHADES.items() if colour in shades)
    return frozenset((colour, *SHADES.get(colour, ()), *others))


def excluded_by(attribute: str) -> list[str]:
    """Return the attributes that a product with `attribute` has not, in alphabetical order."""
    sets: Iterable[frozenset[str]] = (words for words in EXCLUSIVE if attribute in words)
    return sorted({word for words in sets for word in words} - {attribute})


def singular(word: str) -> str:
    """Return a word or phrase without the plural ending of its last word."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def plural(phrase: str) -> str:
    """Return a phrase with its last word in the plural."""
    if phrase.endswith("s"):
        return phrase
    if phrase.endswith(("sh", "ch", "x")):
        return f"{phrase}es"
    if phrase.endswith("y") and phrase[-2:-1] not in "aeiou":
        return f"{phrase[:-1]}ies"
    return f"{phrase}s"


def _listed(text: str, separator: str) -> tuple[str, ...]:
    parts: Sequence[str] = [part.strip() for part in text.split(separator)]
    return tuple(part for part in parts if part)
