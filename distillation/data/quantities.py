"""Quantities in texts: numbers with the unit that follows them, units in one form (*6 foot*, *6ft*, *6'*)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_NUMBER_WITH_UNIT: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]{1,5})")
_UNIT_WORDS: Final = {
    "inch": "inch inches in",
    "ft": "ft feet foot",
    "oz": "oz ounce ounces",
    "lb": "lb lbs pound pounds",
    "gb": "gb gig gigabyte",
    "tb": "tb terabyte",
    "count": "ct count pack pk pcs pieces piece pc",
    "gal": "gallon gallons gal",
    "qt": "quart quarts qt",
    "l": "l liter liters litre litres",
    "ml": "ml",
    "mm": "mm",
    "cm": "cm",
    "m": "meter meters metre",
    "v": "v volt volts",
    "w": "w watt watts",
    "mah": "mah",
    "kg": "kg",
    "g": "g gram grams",
    "mp": "mp megapixel",
    "hz": "hz",
}
UNITS: Final = {word: unit for unit, words in _UNIT_WORDS.items() for word in words.split()}
_COUNTED: Final = frozenset(("pack", "set", "box", "case"))
# A unit in terms of a smaller one.
_SMALLER: Final = {
    "tb": ("gb", 1000.0),
    "kg": ("g", 1000.0),
    "l": ("ml", 1000.0),
    "m": ("mm", 1000.0),
    "cm": ("mm", 10.0),
    "ft": ("inch", 12.0),
    "lb": ("oz", 16.0),
}


@lru_cache(maxsize=1 << 17)
def shop_words(text: str) -> tuple[str, ...]:
    """Return a text's words in lower case, numbers parted from their units, inch and foot signs spelt out.

    Examples
    --------
    >>> shop_words('Smart 55" TV, 1,500W')
    ('smart', '55', 'inch', 'tv', '1500', 'w')
    """
    low = re.sub(r"'s\b|s'(?=\s|$)", "s", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    low = re.sub(r"(\d)\s*(?:\"|\N{RIGHT DOUBLE QUOTATION MARK}|'')", r"\1 inch ", low)
    low = re.sub(r"(\d)\s*'(?=\s|$|\d)", r"\1 ft ", low)
    low = re.sub(r"(\d),(\d{3})(?!\d)", r"\1\2", low)
    words: list[str] = []
    for word in _WORD.findall(low):
        parted = _NUMBER_WITH_UNIT.fullmatch(word)
        words += parted.groups() if parted is not None and parted[2] in UNITS else (word,)
    return tuple(words)


def quantities(text: str) -> frozenset[tuple[float, str]]:
    """Return the numbers of a text, each with its unit, "" without one; large units are turned into small ones.

    Examples
    --------
    >>> sorted(quantities("Pack of 12 socks, size 9")), quantities("SSD 2TB") == quantities("SSD 2000 gb")
    ([(9.0, ''), (12.0, 'count')], True)
    >>> sorted(quantities("rice 0.4 kg, 6 ft shelf"))
    [(72.0, 'inch'), (400.0, 'g')]
    """
    return frozenset((quantity.value, quantity.unit) for quantity in _read(text))


def missing_quantities(asked: str, stated: str) -> tuple[int, int]:
    """Return how many quantities of `asked` the text `stated` lacks, and for how many it has another of the unit.

    A number without a unit is the same as the number with any.

    Examples
    --------
    >>> missing_quantities("hdmi cable 6 ft", "HDMI Cord, 25 Foot"), missing_quantities("iphone 13", "iPhone 13, 128GB")
    ((1, 1), (0, 0))
    """
    offered = _read(stated)
    missing = [one for one in _read(asked) if not any(one.equals(other) for other in offered)]
    return len(missing), sum(bool(one.unit) and any(one.unit == other.unit for other in offered) for one in missing)


@dataclass(frozen=True, slots=True)
class _Quantity:
    written: float
    value: float
    unit: str

    def equals(self, other: _Quantity) -> bool:
        if self.unit and other.unit:
            return (self.value, self.unit) == (other.value, other.unit)
        return self.written == other.written


@lru_cache(maxsize=1 << 17)
def _read(text: str) -> frozenset[_Quantity]:
    words = shop_words(text)
    found: set[_Quantity] = set()
    for position, word in enumerate(words):
        if _NUMBER.fullmatch(word) is None:
            continue
        written, unit = float(word), UNITS.get(words[position + 1], "") if position + 1 < len(words) else ""
        if not unit and position > 1 and words[position - 1] == "of" and words[position - 2] in _COUNTED:
            unit = "count"
        smaller, factor = _SMALLER.get(unit, (unit, 1.0))
        found.add(_Quantity(written, round(written * factor, 6), smaller))
    return frozenset(found)
