"""Pairs made of nothing but titles and words: pseudo queries cut out of titles, and strung phrases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

_MOST_WORDS = 4


def crops(titles: Sequence[str], count: int, partners: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Cut one to four neighbouring words out of titles; pair each with its title, with kindred and with random titles.

    A kindred title shares a word with the crop: the pairs between clearly right and clearly wrong.

    Parameters
    ----------
    titles
        What to cut from.
    count
        Cuts to try; one that came before, or holds no word of letters, is dropped.
    partners
        Titles per crop.
    rng
        Source of every draw.

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
        length = int(rng.integers(1, _MOST_WORDS + 1))
        start = int(rng.integers(0, max(1, len(words) - length + 1)))
        crop = words[start : start + length]
        text = " ".join(crop)
        if text in seen or not any(word.isalpha() and len(word) > 2 for word in crop):
            continue
        seen.add(text)
        chosen = [source]
        for turn in range(partners - 1):
            if turn % 2 == 0:
                kindred = with_word[crop[int(rng.integers(len(crop)))]]
                chosen.append(kindred[int(rng.integers(len(kindred)))])
            else:
                chosen.append(int(rng.integers(len(titles))))
        queries.extend([text] * len(chosen))
        paired.extend(titles[i] for i in chosen)
    return queries, paired


def phrases(parts: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Make phrases of one to five parts; pair each with one or two parts, every other time its own.

    They teach words that the titles at hand lack, but another shop's titles and queries will have.
    """
    queries: list[str] = []
    strung: list[str] = []
    for turn in range(count if parts else 0):
        chosen = rng.integers(0, len(parts), size=int(rng.integers(1, 6)))
        asked = chosen if turn % 2 == 0 else rng.integers(0, len(parts), size=2)
        queries.append(" ".join(parts[i] for i in asked[: int(rng.integers(1, 3))]))
        strung.append(" ".join(parts[i] for i in rng.permutation(chosen)))
    return queries, strung
