"""Titles of 8 KiB that are made to cost more than they are charged for, and honest ones to compare them with."""

from __future__ import annotations

import random
import string
import unicodedata
from collections.abc import Callable, Iterator
from itertools import count

TEXT_BYTES = 8192

_LETTERS = string.ascii_lowercase
_KOREAN = "".join(map(chr, range(0xAC00, 0xD7A4)))
_ACCENTS = "".join(map(chr, range(0x300, 0x340)))
# Marks that stay in the text, and of which some go before others whatever order they come in.
_MARKS = "\u302e\u302f\u1b44\U0001d165\U0001d16d"
_SHOP = [
    "wireless",
    "black",
    "headphones",
    "noise",
    "cancelling",
    "over",
    "ear",
    "with",
    "microphone",
    "for",
    "women",
    "2",
]


def _fill(pieces: Iterator[str], size: int = TEXT_BYTES) -> str:
    text = b""
    while len(text) < size:
        text += next(pieces).encode()
    return text[:size].decode(errors="ignore")


def _words(rng: random.Random, letters: str, length: int, end: str = " ") -> Iterator[str]:
    while True:
        yield "".join(rng.choices(letters, k=length)) + end


def _any_characters(rng: random.Random) -> Iterator[str]:
    while True:
        character = chr(rng.randrange(0x80, 0x11_0000))
        if unicodedata.category(character) != "Cs":
            yield character


def honest(rng: random.Random) -> str:
    """Return a title as shops have them, with numbers of its own."""
    return " ".join([*rng.sample(_SHOP, len(_SHOP)), str(rng.randrange(1 << 60))])


# By name, what makes one title out of random numbers.
KINDS: dict[str, Callable[[random.Random], str]] = {
    "one word": lambda rng: _fill(_words(rng, _LETTERS, 1, "")),
    "words of 100 letters": lambda rng: _fill(_words(rng, _LETTERS, 100)),
    "words of 100 times one letter": lambda rng: _fill(iter(lambda: rng.choice(_LETTERS) * 100 + " ", "")),
    "words of 101 letters": lambda rng: _fill(_words(rng, _LETTERS, 101)),
    "words of 99 letters and an unknown one": lambda rng: _fill(_words(rng, _LETTERS, 99, "\u1200 ")),
    "words of one letter": lambda rng: _fill(_words(rng, _LETTERS, 1)),
    "distinct words": lambda rng: _fill(f"{number:x} " for number in count(rng.randrange(1 << 30))),
    "words of unknown letters": lambda rng: _fill(_words(rng, "\u1200\u1201\u1202\u1203", 30)),
    "punctuation": lambda rng: _fill(_words(rng, string.punctuation, 1, "")),
    "spaces, then a word": lambda rng: " " * (TEXT_BYTES - 20) + f"{rng.randrange(1 << 60):x}",
    "wide spaces, then a word": lambda rng: "\u3000" * 2700 + f"{rng.randrange(1 << 60):x}",
    "Chinese": lambda rng: _fill(iter(lambda: chr(rng.randrange(0x4E00, 0x9FFF)), "")),
    "Korean": lambda rng: _fill(iter(lambda: chr(rng.randrange(0xAC00, 0xD7A3)), "")),
    "Korean words": lambda rng: _fill(
        iter(lambda: "".join(chr(rng.randrange(0xAC00, 0xD7A3)) for _ in range(30)) + " ", "")
    ),
    "a letter and its accents": lambda rng: rng.choice(_LETTERS) + _fill(_words(rng, _ACCENTS, 1, ""), TEXT_BYTES - 1),
    "letters with an accent each": lambda rng: _fill(iter(lambda: rng.choice(_LETTERS) + rng.choice(_ACCENTS), "")),
    "accents alone": lambda rng: _fill(_words(rng, _ACCENTS, 1, "")),
    "accents between spaces": lambda rng: _fill(_words(rng, _ACCENTS, 1)),
    "marks": lambda rng: _fill(_words(rng, _MARKS, 1, "")),
    "words of letters and marks": lambda rng: _fill(
        iter(lambda: "".join(rng.choices(_LETTERS + _MARKS, k=60)) + " ", "")
    ),
    "control characters": lambda rng: _fill(_words(rng, "\x01\x02\x03\x7f\x85\u200b\ufffd", 1, "")),
    "control characters between letters": lambda rng: _fill(_words(rng, _LETTERS, 1, "\x01")),
    "emoji": lambda rng: _fill(iter(lambda: chr(rng.randrange(0x1F300, 0x1F600)), "")),
    "any characters": lambda rng: _fill(_any_characters(rng)),
    "capitals with accents": lambda rng: _fill(_words(rng, "\u00c9\u00dc\u0130\u1e9e\u01c4", 90)),
    "ligatures": lambda rng: _fill(_words(rng, "\ufdfa\ufb03\u0344\u1f82", 50)),
}
