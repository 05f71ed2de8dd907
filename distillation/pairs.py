"""The pairs of the shared stage, each with a soft target. No human judgement and no judged query is among them.

Most have the teacher's cosine for a target: nightly pairs, pseudo queries cut out of titles, phrases of common words.
The others carry weak labels (offers of one product, names of categories), which mislead by themselves and count little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distillation.data import DataFolder
from distillation.recipe import Pairs


@dataclass(slots=True)
class SoftPairs:
    """Pairs of texts; ``label`` is 0 or 1 for a weak label and NaN where the teacher decides, ``weight`` its worth."""

    queries: list[str]
    titles: list[str]
    label: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.queries)


def shared_pairs(
    data: DataFolder, recipe: Pairs, *, words: Sequence[str], held_out: Collection[str], rng: np.random.Generator
) -> SoftPairs:
    """Gather the shared stage's pairs.

    Parameters
    ----------
    data, recipe
        Sources, and how much of each.
    words
        Common words to string phrases from.
    held_out
        Queries whose pairs are left out, compared without case or outer space.
    rng
        Source of every draw.
    """
    guard = {_plain(query) for query in held_out}
    queries, titles = data.nightly()
    picked = rng.permutation(len(queries))[: recipe.nightly]
    night_queries = [queries[i] for i in picked]
    night_titles = [titles[i] for i in picked]
    crop_queries, crop_titles = _crops(data.titles(), recipe, rng)
    weak_queries, weak_titles, weak_labels = _weak(data, recipe, rng)

    phrase_queries, phrase_titles = _phrases([*data.queries(), *words], recipe.phrases, rng)

    all_queries = night_queries + crop_queries + phrase_queries + weak_queries
    all_titles = night_titles + crop_titles + phrase_titles + weak_titles
    label = np.full(len(all_queries), np.nan, dtype=np.float32)
    weight = np.ones(len(all_queries), dtype=np.float32)
    if weak_labels:
        label[-len(weak_labels) :] = weak_labels
        weight[-len(weak_labels) :] = recipe.weak_weight
    keep = [i for i, query in enumerate(all_queries) if _plain(query) not in guard]
    return SoftPairs([all_queries[i] for i in keep], [all_titles[i] for i in keep], label[keep], weight[keep])


def _plain(text: str) -> str:
    return text.strip().lower()


def _crops(titles: Sequence[str], recipe: Pairs, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Cut one to four neighbouring words out of titles; pair each with its title, with kindred and with random titles.

    A kindred title shares a word with the crop: the pairs between clearly right and clearly wrong.
    """
    with_word: dict[str, list[int]] = defaultdict(list)
    words_of = [title.lower().split() for title in titles]
    for number, words in enumerate(words_of):
        for word in set(words):
            with_word[word].append(number)
    queries: list[str] = []
    paired: list[str] = []
    seen: set[str] = set()
    for source in rng.integers(0, len(titles), size=recipe.crops).tolist():
        words = words_of[source]
        count = int(rng.integers(1, 5))
        start = int(rng.integers(0, max(1, len(words) - count + 1)))
        crop = words[start : start + count]
        text = " ".join(crop)
        if text in seen or not any(word.isalpha() and len(word) > 2 for word in crop):
            continue
        seen.add(text)
        partners = [source]
        for turn in range(recipe.pairs_per_crop - 1):
            if turn % 2 == 0:
                kindred = with_word[crop[int(rng.integers(len(crop)))]]
                partners.append(kindred[int(rng.integers(len(kindred)))])
            else:
                partners.append(int(rng.integers(len(titles))))
        queries.extend([text] * len(partners))
        paired.extend(titles[i] for i in partners)
    return queries, paired


def _phrases(parts: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Make phrases of one to five parts; pair each with one or two parts, every other time its own.

    They teach words that the titles at hand lack, but another shop's titles and queries will have.
    """
    queries: list[str] = []
    phrases: list[str] = []
    for turn in range(count if parts else 0):
        chosen = rng.integers(0, len(parts), size=int(rng.integers(1, 6)))
        asked = chosen if turn % 2 == 0 else rng.integers(0, len(parts), size=2)
        queries.append(" ".join(parts[i] for i in asked[: int(rng.integers(1, 3))]))
        phrases.append(" ".join(parts[i] for i in rng.permutation(chosen)))
    return queries, phrases


def _weak(data: DataFolder, recipe: Pairs, rng: np.random.Generator) -> tuple[list[str], list[str], list[int]]:
    """Draw offer pairs and (category, title) pairs, half of the latter with another category's name."""
    if recipe.weak == 0:
        return [], [], []
    offers = data.offers()
    titles, categories = data.categories()
    names = sorted(set(categories))
    queries = list(offers.queries)
    paired = list(offers.titles)
    labels = list(offers.labels)
    for title, category in zip(titles, categories, strict=True):
        other = names[int(rng.integers(len(names)))]
        queries += [category, other]
        paired += [title, title]
        labels += [1, int(other == category)]
    picked = rng.permutation(len(queries))[: recipe.weak]
    return [queries[i] for i in picked], [paired[i] for i in picked], [labels[i] for i in picked]
