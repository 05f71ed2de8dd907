"""Contrast pairs of variants: what a part fits, which connector, side, condition, edition, strength or language it has.

Their query and both titles follow one pattern and differ in the variant alone, so that only it can decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from distillation.data.contrast_pairs import RELEVANT, ContrastPair
from distillation.data.draws import chance, pick, some
from distillation.data.products import title_case
from distillation.data.retail_terms import COLOURS, product_types, retail_fields

_OTHER: Final = 0.07
_ACCESSORY: Final = 0.1
_USED_OR_NEW: Final = 0.12

# Products that parts are made for, the parts, and what the product itself is called.
_FITTINGS: Final = (
    (
        "iPhone 11,iPhone 12,iPhone 13,iPhone 13 Pro,iPhone 14,iPhone SE,Galaxy S20,Galaxy S21,Galaxy S23 Ultra,"
        "Galaxy A54,Pixel 6,Pixel 7,OnePlus 9,Redmi Note 11",
        "case,screen protector,wallet case,charger,battery case,belt clip holster",
        "unlocked smartphone",
    ),
    (
        "iPad Air 5,iPad Pro 11,iPad Mini 6,Galaxy Tab A8,Galaxy Tab S8,Fire HD 10,Kindle Paperwhite,Surface Pro 7",
        "case,keyboard case,screen protector,stand,charger",
        "tablet",
    ),
    (
        "MacBook Air 13,MacBook Pro 14,Dell XPS 13,HP Pavilion 15,Lenovo ThinkPad T480,Acer Aspire 5",
        "charger,battery,hard case,sleeve,keyboard cover,docking station",
        "laptop",
    ),
    (
        "PS4,PS5,Xbox One,Xbox Series X,Nintendo Switch,Switch Lite",
        "controller,headset,charging station,skin,carrying case",
        "console",
    ),
    (
        "Honda Civic,Toyota Camry,Ford F150,Ford Focus,BMW 3 Series,Jeep Wrangler,Volkswagen Golf,Audi A4,"
        "Toyota Corolla,Honda CRV,Ford Fiesta,Nissan Altima,Skoda Octavia,Opel Corsa",
        "floor mats,headlight assembly,wiper blades,seat covers,brake pads,cabin air filter,tail light,roof rack",
        "",
    ),
    (
        "Dyson V8,Dyson V10,Dyson V11,Shark Navigator,Roomba i7,Roomba 600 series,Miele C3",
        "filter,battery,brush roll,hose,attachment set,wall mount",
        "vacuum cleaner",
    ),
    (
        "HP OfficeJet 3830,HP DeskJet 2700,Canon Pixma MG3620,Epson ET-2720,Brother HL-L2350DW,HP LaserJet M404",
        "ink cartridge,toner cartridge,drum unit,print head,power cord",
        "printer",
    ),
    (
        "DeWalt 20V,Makita 18V,Milwaukee M18,Ryobi 18V,Bosch 12V",
        "battery,charger,impact driver,circular saw",
        "drill kit",
    ),
    (
        "Apple Watch Series 7,Apple Watch SE,Galaxy Watch 4,Fitbit Charge 5,Garmin Forerunner 245",
        "band,charger,screen protector,leather strap",
        "smartwatch",
    ),
)
_CONNECTORS: Final = (
    "HDMI cable,DisplayPort cable,VGA cable,DVI cable,USB C cable,Lightning cable,micro USB cable,ethernet cable",
    "E14 bulb,E27 bulb,GU10 bulb,B22 bulb,G9 bulb",
    "AA batteries,AAA batteries,9V batteries,CR2032 batteries,D batteries,LR44 batteries,18650 batteries",
    "SATA SSD,NVMe SSD,external SSD",
    "DDR3 RAM,DDR4 RAM,DDR5 RAM",
    "USB C charger,Lightning charger,micro USB charger",
    "12V adapter,24V adapter,5V adapter,19V adapter",
)
_SIDES: Final = (("left", "right"), ("front", "rear"), ("driver side", "passenger side"), ("upper", "lower"))
_SIDED: Final = (
    *("headlight", "brake pads", "shock absorber", "door handle", "tail light", "fender", "mirror"),
    *("golf glove", "knee brace", "wrist brace", "earbud"),
)
_EDITIONS: Final = (
    ("airpods", "1st generation,2nd generation,3rd generation,Pro,Max"),
    ("echo dot", "3rd gen,4th gen,5th gen"),
    ("kindle paperwhite", "10th generation,11th generation"),
    ("chemistry textbook", "4th edition,8th edition,10th edition"),
    ("ipad", "7th generation,8th generation,9th generation,10th generation"),
    ("windows", "7,10,11"),
    ("office suite", "2016,2019,2021"),
    ("gopro hero", "8,9,10,11"),
    ("football video game", "21,22,23"),
    ("tv series season", "1,2,3,4"),
)
_STRENGTHS: Final = (5, 10, 25, 50, 100, 200, 250, 325, 400, 500, 1000, 2000, 5000)
_USED: Final = ("used", "refurbished", "renewed", "pre-owned", "second hand")
_LANGUAGES: Final = ("Spanish", "French", "German", "Italian", "English", "Japanese", "Portuguese")
_SYLLABLES: Final = ("ka", "lo", "mi", "zu", "ren", "tor", "bel", "qua", "si", "vex", "nor", "dra", "pim", "fen")
_EXTRAS: Final = ("durable", "premium quality", "upgraded", "value pack", "original", "lightweight", "easy to use")
_BRANDS: Final = tuple(brand for field in retail_fields() for brand in field.brands)


def variant_pairs(count: int, rng: np.random.Generator) -> list[ContrastPair]:
    """Compose `count` pairs of all kinds of variants."""
    rules = (
        _fitting,
        _fitting,
        _fitting,
        _connector,
        _side,
        _condition,
        _edition,
        _strength,
        _language,
        _made_up_brand,
    )
    pairs: list[ContrastPair] = []
    while len(pairs) < count:
        pairs += pick(rng, rules)(rng)
    return pairs[:count]


def _fitting(rng: np.random.Generator) -> list[ContrastPair]:
    """Return pairs of a part that fits a product, of another part, of another product, and of the product itself."""
    products, parts, called = pick(rng, _FITTINGS)
    (product, other_product), (part, other_part) = some(rng, products.split(","), 2), some(rng, parts.split(","), 2)

    def title(name: str, owner: str) -> str:
        brand, colour, extra = pick(rng, _BRANDS), pick(rng, COLOURS), pick(rng, _EXTRAS)
        forms = (f"{brand} {name} for {owner}", f"{name} Compatible with {owner}, {extra}")
        return title_case(pick(rng, (*forms, f"{brand} {colour} {name} Fits {owner}", f"{owner} {name}, {extra}")))

    query = pick(rng, (f"{product} {part}", f"{part} for {product}")).lower()
    pairs = [
        ContrastPair(query, title(part, product), RELEVANT, "part that fits"),
        ContrastPair(query, title(part, other_product), _OTHER, "part for another product"),
        ContrastPair(query, title(other_part, product), _OTHER, "another part"),
    ]
    if called:
        itself, other = (title_case(f"{name} {called}, {pick(rng, COLOURS)}") for name in (product, other_product))
        pairs += [
            ContrastPair(query, itself, _OTHER, "product of the part"),
            ContrastPair(product.lower(), itself, RELEVANT, "product"),
            ContrastPair(product.lower(), title(part, product), _ACCESSORY, "part of the product"),
            ContrastPair(product.lower(), other, _OTHER, "another product"),
        ]
    return some(rng, pairs, 4)


def _connector(rng: np.random.Generator) -> list[ContrastPair]:
    asked, other = some(rng, pick(rng, _CONNECTORS).split(","), 2)
    brand, extra = pick(rng, _BRANDS), pick(rng, _EXTRAS)
    return _contrast(asked.lower(), lambda name: f"{brand} {name}, {extra}", (asked, other), "connector")


def _side(rng: np.random.Generator) -> list[ContrastPair]:
    asked, other = some(rng, pick(rng, _SIDES), 2)
    thing, brand = pick(rng, _SIDED), pick(rng, _BRANDS)
    return _contrast(f"{asked} {thing}", lambda side: f"{brand} {thing}, {side}", (asked, other), "side")


def _condition(rng: np.random.Generator) -> list[ContrastPair]:
    kind = pick(rng, product_types())
    name, brand = pick(rng, kind.names), pick(rng, kind.field.brands)
    used = f"{brand} {name} ({pick(rng, _USED)})"
    new = f"{brand} {name}, {pick(rng, ('brand new', 'new in box', 'factory sealed'))}"
    fitting, other, asked = (used, new, pick(rng, _USED)) if chance(rng, 0.6) else (new, used, "new")
    return [
        ContrastPair(f"{asked} {name}", title_case(fitting), RELEVANT, "condition"),
        ContrastPair(f"{asked} {name}", title_case(other), _USED_OR_NEW, "another condition"),
    ]


def _edition(rng: np.random.Generator) -> list[ContrastPair]:
    thing, editions = pick(rng, _EDITIONS)
    asked, other = some(rng, editions.split(","), 2)
    extra = pick(rng, _EXTRAS)
    return _contrast(f"{thing} {asked}".lower(), lambda name: f"{thing} {name}, {extra}", (asked, other), "edition")


def _strength(rng: np.random.Generator) -> list[ContrastPair]:
    kind = pick(rng, next(field for field in retail_fields() if field.name == "health").types)
    asked, other = some(rng, _STRENGTHS, 2)
    unit, brand, name = pick(rng, ("mg", "mcg", "iu")), pick(rng, kind.field.brands), pick(rng, kind.names)
    titles = (f"{asked} {unit}", f"{other} {unit}")
    count = pick(rng, (30, 60, 90, 120))
    query = f"{name} {asked}{pick(rng, ('', ' '))}{unit}"
    return _contrast(query, lambda dose: f"{brand} {name} {dose}, {count} Count", titles, "strength")


def _language(rng: np.random.Generator) -> list[ContrastPair]:
    asked, other = some(rng, _LANGUAGES, 2)
    book = " ".join(title_case(f"the {pick(rng, COLOURS)} {pick(rng, product_types()).names[0]}").split())
    query = f"{book} in {asked}".lower()
    return _contrast(query, lambda language: f"{book} ({language} Edition)", (asked, other), "language")


def _made_up_brand(rng: np.random.Generator) -> list[ContrastPair]:
    """Brands that no model knows: the same one must be the same, another one another."""
    brand, other = ("".join(pick(rng, _SYLLABLES) for _ in range(3)) for _ in range(2))
    if brand == other:
        return []
    name, extra = pick(rng, pick(rng, product_types()).names), pick(rng, _EXTRAS)
    return _contrast(f"{brand} {name}", lambda maker: f"{maker} {name}, {extra}", (brand, other), "unknown brand")


def _contrast(query: str, title: Callable[[str], str], variants: Sequence[str], kind: str) -> list[ContrastPair]:
    asked, other = variants
    return [
        ContrastPair(query, title_case(title(asked)), RELEVANT, kind),
        ContrastPair(query, title_case(title(other)), _OTHER, f"another {kind}"),
    ]
