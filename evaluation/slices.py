"""Parts of the judged rows on which a model may be better or worse than on the whole."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.baselines import token_overlap
from evaluation.judged_file import JudgedPairs
from evaluation.measures import measure, ranked_by_model
from evaluation.metrics import Interval
from evaluation.model_scores import ModelScores
from evaluation.query_text import words_of

_NUMBER: Final = re.compile(r"\d")
# With fewer rows, an interval says nothing.
_FEWEST_ROWS: Final = 10
_MOST_VALUES: Final = 8
_METRICS: Final = ("auc", "precision", "recall")
_MODEL: Final = "model"


@dataclass(frozen=True)
class Slice:
    """One part of the rows.

    Attributes
    ----------
    kind, value
        What the rows are parted by, and what these have: `query length`, `1 word`.
    rows, relevant
        Number of rows, and of relevant ones.
    metrics
        `auc`, `precision` and `recall`; without those that the rows cannot give.
    """

    kind: str
    value: str
    rows: int
    relevant: int
    metrics: dict[str, Interval]


def slices(judged: JudgedPairs, model: ModelScores, *, resamples: int, confidence: float, seed: int) -> list[Slice]:
    """Return all parts of ten rows or more; a kind that has fewer than two of them is left out."""
    found: list[Slice] = []
    for kind, values in _kinds(judged, model).items():
        counts = Counter(values)
        order = [value for value in _ORDER.get(kind, ()) if value in counts] or [
            value for value, _ in counts.most_common(_MOST_VALUES)
        ]
        parts = [value for value in order if counts[value] >= _FEWEST_ROWS]
        if len(parts) < 2:
            continue
        for value in parts:
            rows = np.flatnonzero(np.array(values) == value)
            part = judged.take(rows)
            ranked = [ranked_by_model(model.take(rows), _MODEL)]
            table = measure(part, ranked, resamples=resamples, confidence=confidence, seed=seed)
            metrics = {name: table.interval(_MODEL, name) for name in _METRICS}
            known = {name: one for name, one in metrics.items() if one is not None and not np.isnan(one.value)}
            found.append(Slice(kind, value, len(rows), int(part.relevant.sum()), known))
    return found


_LENGTHS: Final = ("1 word", "2 words", "3 words", "4 words", "5 words or more")
_SHARED: Final = ("none", "some", "all")
_NUMBERS: Final = ("no number in the query", "the title has its numbers", "the title lacks a number")
_UNKNOWN: Final = ("none", "fewer than half", "half or more")
_ORDER: Final[dict[str, tuple[str, ...]]] = {
    "query length": _LENGTHS,
    "words of the query in the title": _SHARED,
    "numbers": _NUMBERS,
    "unknown pieces": _UNKNOWN,
}


def _kinds(judged: JudgedPairs, model: ModelScores) -> dict[str, list[str]]:
    """Return the value of each row by kind of slice."""
    lengths = [len(words_of(query)) for query in judged.queries]
    overlap = token_overlap(judged.queries, judged.titles)
    kinds = {
        "query length": [_LENGTHS[min(max(length, 1), len(_LENGTHS)) - 1] for length in lengths],
        "words of the query in the title": [_SHARED[_third(share, full=1.0)] for share in overlap],
        "numbers": [_numbers(query, title) for query, title in zip(judged.queries, judged.titles, strict=True)],
        "script": [script(f"{q} {t}") for q, t in zip(judged.queries, judged.titles, strict=True)],
        **judged.columns,
    }
    if model.unknown is not None:
        kinds["unknown pieces"] = [_UNKNOWN[_third(share, full=0.5)] for share in model.unknown]
    return kinds


def _third(share: float, *, full: float) -> int:
    return 0 if share == 0.0 else 2 if share >= full else 1


def _numbers(query: str, title: str) -> str:
    wanted = {word for word in words_of(query) if _NUMBER.search(word)}
    if not wanted:
        return _NUMBERS[0]
    return _NUMBERS[1] if wanted <= set(words_of(title)) else _NUMBERS[2]


def script(text: str) -> str:
    """Return the script of most of a text's letters, as Unicode names it.

    Examples
    --------
    >>> script("red shoes"), script("красные туфли"), script("無線マウス"), script("12 / 30")
    ('Latin', 'Cyrillic', 'CJK', 'no letters')
    """
    counts = Counter(_scripts(text))
    return counts.most_common(1)[0][0] if counts else "no letters"


def _scripts(text: str) -> Iterable[str]:
    for character in text:
        if character.isascii():
            if character.isalpha():
                yield "Latin"
        elif character.isalpha():
            name = unicodedata.name(character, "UNKNOWN").split()[0].removesuffix("-COMPATIBILITY")
            yield _NAMES.get(name, name.capitalize())


_NAMES: Final = {"CJK": "CJK", "HIRAGANA": "CJK", "KATAKANA": "CJK", "HALFWIDTH": "CJK", "FULLWIDTH": "Latin"}
