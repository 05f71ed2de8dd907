"""Pairs with synthetic queries: crops of titles, and phrases of random words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

_MAX_CROP_WORDS: Final = 4


def crops(titles: Sequence[str], count: int, partners: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Crop one to four adjacent words of titles; pair each crop with its title, and with similar and random titles.

    A similar title shares a word with the crop: such pairs lie between clearly relevant and clearly irrelevant ones.

    Parameters
    ----------
    titles
        Titles to crop.
    count
        Crops to try; repeated ones and those without a word of letters are dropped.
    partners
        Titles per crop.
    rng
        Source of randomness.

    Returns
    -------
    tuple
        Parallel queries and titles.
    """
    with_word: dict[str, list[int]] = defaultdict(list)
    words_of = [title.lower().split() for title in titles]
    for number, words in enumerate(words_of):
        for word in set(words):
            with_word[word].append(number)
    queries: list[str] = []
    paired: list[str] = []
    seen: set[str] = set()
    for source in rng.integers(0, max(1, len(titles)), size=count if titles else 0).tolist():
        words = words_of[source]
        length = int(rng.integers(1, _MAX_CROP_WORDS + 1))
        start = int(rng.integers(0, max(1, len(words) - length + 1)))
        crop = words[start : start + length]
        text = " ".join(crop)
        if text in seen or not any(word.isalpha() and len(word) > 2 for word in crop):
            continue
        seen.add(text)
        chosen = [source]
        for turn in range(partners - 1):
            if turn % 2 == 0:
                similar = with_word[crop[int(rng.integers(len(crop)))]]
                chosen.append(similar[int(rng.integers(len(similar)))])
            else:
                chosen.append(int(rng.integers(len(titles))))
        queries.extend([text] * len(chosen))
        paired.extend(titles[i] for i in chosen)
    return queries, paired


def phrases(parts: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Make titles of one to five random parts; pair each with a query of one or two parts, every other time its own.

    They cover words that the given titles lack and that titles and queries of other shops have.
    """
    queries: list[str] = []
    titles: list[str] = []
    for turn in range(count if parts else 0):
        chosen = rng.integers(0, len(parts), size=int(rng.integers(1, 6)))
        wanted = chosen if turn % 2 == 0 else rng.integers(0, len(parts), size=2)
        queries.append(" ".join(parts[i] for i in wanted[: int(rng.integers(1, 3))]))
        titles.append(" ".join(parts[i] for i in rng.permutation(chosen)))
    return queries, titles
