"""Which words of a query a title has: exactly, tolerantly, or by a synonym.

*Exactly* is plurals aside, and written as one word or two; *tolerantly* is also with one letter of four or two of seven
misspelt, or as a part of a longer word; synonyms are those of `distillation.data.retail_terms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from distillation.data.quantities import shop_words
from distillation.data.retail_terms import one_word_synonyms, singular


@dataclass(frozen=True, slots=True)
class ShopText:
    """The words of a text as shops write them, and without the endings of plurals."""

    words: tuple[str, ...]
    stems: tuple[str, ...]
    all: frozenset[str]
    # Each two adjacent words, written as one.
    joined: frozenset[str]

    @staticmethod
    @lru_cache(maxsize=1 << 17)
    def of(text: str) -> ShopText:
        """Return the words of a text."""
        words = shop_words(text)
        stems = tuple(singular(word) for word in words)
        joined = frozenset(a + b for a, b in pairwise(stems))
        return ShopText(words, stems, frozenset(stems), joined)


def coverage(content: Sequence[str], title: ShopText) -> tuple[dict[str, bool], dict[str, bool], dict[str, bool]]:
    """Return which of the query's words are covered exactly, tolerantly, and by a synonym as well."""
    exact: dict[str, bool] = {}
    tolerant: dict[str, bool] = {}
    synonym: dict[str, bool] = {}
    synonyms = one_word_synonyms()
    for position, word in enumerate(content):
        together = {word + following for following in content[position + 1 : position + 2]}
        together |= {before + word for before in content[max(0, position - 1) : position]}
        exact[word] = word in title.all or word in title.joined or bool(together & title.all)
        tolerant[word] = exact[word] or _is_near(word, title)
        synonym[word] = tolerant[word] or bool(synonyms.get(word, frozenset()) & title.all)
    return exact, tolerant, synonym


def _is_near(word: str, title: ShopText) -> bool:
    if len(word) < 4 or any(character.isdigit() for character in word):
        return False
    most = 1 if len(word) < 7 else 2
    if any(other[:1] == word[:1] and edit_distance(word, other, most) <= most for other in title.all | title.joined):
        return True
    return len(word) >= 5 and any(len(other) >= 4 and (other in word or word in other) for other in title.all)


def edit_distance(a: str, b: str, most: int) -> int:
    """Return the edits that turn `a` into `b`, transpositions included, or `most + 1` if they are more.

    The optimal string alignment distance (Boytsov, 2011).

    Examples
    --------
    >>> edit_distance("speeker", "speaker", 2), edit_distance("haedset", "headset", 1), edit_distance("mug", "rug s", 1)
    (1, 1, 2)
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    earlier: list[int] = []
    last = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i, *[0] * len(b)]
        for j, other in enumerate(b, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if earlier and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                row[j] = min(row[j], earlier[j - 2] + 1)
        if min(row) > most:
            return most + 1
        earlier, last = last, row
    return min(last[-1], most + 1)
