"""Measures as titles and queries state them: numbers with units in several forms (*12 pack*, *pack of 12*; *1 TB*)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from distillation.data.draws import chance, pick

_CLOTHES_SIZES: Final = (
    ("small", "s"),
    ("medium", "m"),
    ("large", "l"),
    ("x-large", "xl"),
    ("xx-large", "2xl"),
    ("3x",),
)
_UNITS: Final[dict[str, tuple[tuple[str, ...], tuple[float, ...]]]] = {
    "inch": (
        ("inch", "in", '"', "inches", "-inch"),
        (4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 43, 48, 55, 65, 75),
    ),
    "ft": (("ft", "feet", "foot", "'", "-foot"), (3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 25, 30, 50, 75, 100)),
    "oz": (("oz", "ounce", "ounces", "fl oz"), (1, 2, 3, 4, 6, 8, 10, 12, 13.5, 16, 20, 24, 28, 32, 40, 64)),
    "count": (("count", "ct", "pack", "pcs", "pk"), (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30, 36, 48, 60, 100)),
    "pieces": (("pieces", "pcs", "piece", "-piece"), (24, 50, 100, 150, 200, 250, 300, 500, 750, 1000, 1500)),
    "lb": (("lb", "lbs", "pound", "pounds", "-pound"), (1, 2, 3, 5, 8, 10, 15, 16, 20, 25, 30, 35, 40, 50)),
    "gb": (("gb", "GB"), (64, 128, 256, 512, 1000, 2000, 4000)),
    "quart": (("quart", "qt", "quarts"), (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)),
    "gallon": (("gallon", "gal", "gallons"), (1, 2, 3, 5, 7, 10, 15, 20, 30, 55)),
    "volt": (("v", "volt", "V"), (12, 18, 20, 24, 36, 40, 60, 120)),
    "mm": (("mm",), (6, 8, 10, 12, 18, 20, 22, 24, 36, 38, 40, 41, 42, 44, 45)),
    "mah": (("mah", "mAh"), (1000, 2500, 5000, 10000, 20000, 26800, 30000)),
    "thread": (("thread count", "tc"), (200, 300, 400, 500, 600, 800, 1000, 1200)),
    "kg": (("kg", "kilogram"), (5, 6, 7, 8, 9, 10, 11, 12)),
    "keys": (("keys", "key", "-key"), (25, 37, 49, 61, 76, 88)),
    "size": (("size",), (5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11, 12, 13)),
}
_CLOTHES: Final = "clothsize"
_GB_PER_TB: Final = 1000


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of a kind of measure; clothes sizes are values by their position in the list of sizes."""

    kind: str
    value: float

    @staticmethod
    def draw(kind: str, rng: np.random.Generator) -> Measure:
        """Draw a value of this kind."""
        return Measure(kind, pick(rng, range(len(_CLOTHES_SIZES)) if kind == _CLOTHES else _UNITS[kind][1]))

    def other(self, rng: np.random.Generator) -> Measure:
        """Draw another value, mostly a near one."""
        values = list(range(len(_CLOTHES_SIZES)) if self.kind == _CLOTHES else _UNITS[self.kind][1])
        place = values.index(self.value)
        near = values[max(0, place - 3) : place + 4] if chance(rng, 0.6) else values
        return Measure(self.kind, pick(rng, [value for value in near if value != self.value]))

    def text(self, rng: np.random.Generator, *, in_query: bool = False) -> str:
        """Return one of the forms in which the measure is written."""
        if self.kind == _CLOTHES:
            form = pick(rng, _CLOTHES_SIZES[int(self.value)])
            return f"size {form}" if in_query and len(form) < 3 else form
        number = f"{self.value:g}" if self.value < 10_000 else str(int(self.value))
        if self.kind == "size":
            return f"size {number}" if in_query or chance(rng, 0.4) else f"{number} US"
        if self.kind == "gb" and self.value >= _GB_PER_TB and chance(rng, 0.6):
            return f"{int(self.value) // _GB_PER_TB}{pick(rng, ('tb', ' TB'))}"
        if self.kind == "count" and chance(rng, 0.35):
            return pick(rng, (f"pack of {number}", f"set of {number}", f"{number}-pack", f"{number}pk"))
        unit = pick(rng, _UNITS[self.kind][0])
        separator = "" if not unit[0].isalpha() or chance(rng, 0.25) else " "
        return f"{number}{separator}{unit}"
