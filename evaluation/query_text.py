"""Texts as metrics, baselines and folds compare them: their words, and which queries are the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers.normalizers import BertNormalizer

_NORMALIZER: Final = BertNormalizer(lowercase=True)
_WORD: Final = re.compile(r"[^\W_]+")
_NO_PLURAL: Final = 3


def normalized_words(text: str) -> list[str]:
    """Return a text's words without case, accents and punctuation."""
    return _WORD.findall(_NORMALIZER.normalize_str(text))


def plain(text: str) -> str:
    """Return a text's words without case, accents and punctuation; its symbols if it has no words; else "".

    Apart from punctuation, encoder and student normalise texts in the same way.

    Examples
    --------
    >>> plain("Café-Table, 90 cm"), plain("★"), plain(" ")
    ('cafe table 90 cm', '★', '')
    """
    return " ".join(normalized_words(text)) or " ".join(_NORMALIZER.normalize_str(text).split())


def query_groups(queries: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return a number per query, int64 [N], equal for queries that differ only in writing (see `plain`)."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(plain(query), len(known)) for query in queries], dtype=np.int64)


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case, without the plural s."""
    return [singular(word) for word in _WORD.findall(text.lower())]


def singular(word: str) -> str:
    """Return a word without the plural s."""
    return word[:-1] if len(word) > _NO_PLURAL and word.endswith("s") else word
